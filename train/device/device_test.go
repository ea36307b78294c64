package device

import (
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	b, note, err := Open(PureGo, "")
	if err != nil || note != "" {
		t.Fatal(b, note, err)
	}
	if _, _, err := Open("tpu", ""); err == nil || !strings.Contains(err.Error(), "there are auto, cpu, gpu and go") {
		t.Errorf("%v", err)
	}
	t.Setenv("TRIRANK_PJRT", t.TempDir())
	if _, _, err := Open(GPU, ""); err == nil || !strings.Contains(err.Error(), "pjrt_c_api_cuda_plugin.so") {
		t.Errorf("%v", err)
	}
	if _, _, err := Open(CPU, t.TempDir()); err == nil || !strings.Contains(err.Error(), "make native fetches the one for the processor") {
		t.Errorf("%v", err)
	}
	if _, note, err := Open("auto", ""); err != nil || !strings.Contains(note, "plain Go computes") {
		t.Errorf("%q, %v", note, err)
	}
}

func TestEnviron(t *testing.T) {
	last := func(env []string) string {
		if len(env) == 0 {
			return ""
		}
		return env[len(env)-1]
	}
	first := environ([]string{"HOME=/root"})
	if got := last(first); got != "GLIBC_TUNABLES="+tunables {
		t.Errorf("%q", got)
	}
	if again := environ(first); again != nil {
		t.Errorf("it would begin anew for ever: %q", again)
	}
	if got := last(environ([]string{"GLIBC_TUNABLES=glibc.pthread.rseq=0"})); got != "GLIBC_TUNABLES=glibc.pthread.rseq=0:"+tunables {
		t.Errorf("%q", got)
	}
	if env := environ([]string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=1"}); env != nil {
		t.Errorf("what the user has set is overruled: %q", env)
	}
}

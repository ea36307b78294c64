package device

import (
	"slices"
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
	if _, _, err := Open(CPU, t.TempDir()); err == nil || !strings.Contains(err.Error(), "make native fetches the one for the processor, make gpu that for GPUs") {
		t.Errorf("%v", err)
	}
	if _, note, err := Open("auto", ""); err != nil || !strings.Contains(note, "plain Go computes") {
		t.Errorf("%q, %v", note, err)
	}
}

func TestEnviron(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{[]string{"HOME=/root"}, []string{"HOME=/root", "GLIBC_TUNABLES=" + tunables}},
		{[]string{"GLIBC_TUNABLES=glibc.pthread.rseq=0", "A=b"}, []string{"GLIBC_TUNABLES=glibc.pthread.rseq=0:" + tunables, "A=b"}},
		{[]string{"GLIBC_TUNABLES="}, []string{"GLIBC_TUNABLES=" + tunables}},
		{[]string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=1"}, nil}, // the user's own
	} {
		got := environ(c.given)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q becomes %q, not %q", c.given, got, c.want)
		}
		if again := environ(got); got != nil && again != nil {
			t.Errorf("it would begin anew for ever: %q", again)
		}
	}
}

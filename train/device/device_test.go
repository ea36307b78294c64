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
	if _, _, err := Open(CPU, t.TempDir()); err == nil || !strings.Contains(err.Error(), "make native fetches the one for the processor, make gpu that for GPUs") {
		t.Errorf("%v", err)
	}
	if _, note, err := Open("auto", ""); err != nil || !strings.Contains(note, "plain Go computes") {
		t.Errorf("%q, %v", note, err)
	}
}

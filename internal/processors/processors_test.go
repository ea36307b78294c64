package processors

import (
	"runtime"
	"testing"
)

func TestShareWithC(t *testing.T) {
	n := Count()
	defer runtime.GOMAXPROCS(n)
	t.Setenv("GOMAXPROCS", "1")
	if ShareWithC(); runtime.GOMAXPROCS(0) != n {
		t.Error("what the environment says does not stand")
	}
	t.Setenv("GOMAXPROCS", "")
	if ShareWithC(); runtime.GOMAXPROCS(0) != 3*n || Count() != n {
		t.Errorf("%d threads run Go code on %d processors, counted as %d", runtime.GOMAXPROCS(0), n, Count())
	}
}

func TestIdle(t *testing.T) {
	for i := range Count() {
		if !Idle() {
			t.Errorf("with %d computations %d processors are busy", i, Count())
		}
		defer Work()()
	}
	if Idle() {
		t.Error("a processor is idle while each computes")
	}
}

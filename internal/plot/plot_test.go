package plot

import (
	"math"
	"testing"
)

func TestStep(t *testing.T) {
	for _, c := range []struct{ low, high, want float64 }{{0, 10, 2}, {0, 3, 1}, {0, 15, 5}, {-1, 1, .5}, {.61, .64, .01}, {0, 2900, 500}} {
		if got := Step(c.low, c.high); math.Abs(got-c.want) > 1e-9*c.want {
			t.Errorf("from %v to %v: %v, not %v", c.low, c.high, got, c.want)
		}
	}
}

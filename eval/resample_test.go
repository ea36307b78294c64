package eval

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

func randomResampling(rows, cols int) *resampling {
	r := &resampling{rows: rows, cols: cols, values: make([]float64, rows*cols)}
	g := rand.New(rand.NewPCG(1, 2))
	for i := range r.values {
		r.values[i] = g.Float64()
	}
	return r
}

// TestResamplingSums compares the tables with adding row by row.
func TestResamplingSums(t *testing.T) {
	for _, rows := range []int{1, 2, 3, 7, 8, 9, 94, 1000} {
		const draws, cols, seed = 600, 5, 7
		r := randomResampling(rows, cols)
		boot := r.bootstrap(draws, seed)
		signs, exact := r.flips(draws, seed)
		if want := 1<<min(rows, 20) <= draws; exact != want {
			t.Errorf("%d rows: exact is %v", rows, exact)
		}
		for d := range draws {
			want := make([]float64, cols)
			g := generator(seed, 1, d)
			for i := 0; i < rows; i += 2 { // two rows from each random number
				x := g.Uint64()
				for _, half := range []uint64{x >> 32, x & 0xffffffff}[:min(2, rows-i)] {
					row := int(half * uint64(rows) >> 32)
					for c := range cols {
						want[c] += r.values[row*cols+c]
					}
				}
			}
			for c := range cols {
				if got := boot[d*cols+c]; math.Abs(got-want[c]) > 1e-9 {
					t.Fatalf("%d rows, draw %d, column %d: %g, want %g", rows, d, c, got, want[c])
				}
			}
			if exact {
				continue
			}
			clear(want)
			g = generator(seed, 2, d)
			var bits uint64
			for row := range rows {
				if row%64 == 0 {
					bits = g.Uint64()
				}
				if bits>>(row%64)&1 == 1 {
					for c := range cols {
						want[c] += r.values[row*cols+c]
					}
				}
			}
			for c := range cols {
				if got := signs[d*cols+c]; math.Abs(got-want[c]) > 1e-9 {
					t.Fatalf("%d rows, flip %d, column %d: %g, want %g", rows, d, c, got, want[c])
				}
			}
		}
		if exact { // every subset once: each value is in half of them
			for c := range cols {
				sum, want := 0., 0.
				for d := 0; d < 1<<rows; d++ {
					sum += signs[d*cols+c]
				}
				for row := range rows {
					want += r.values[row*cols+c] * float64(int(1)<<rows) / 2
				}
				if math.Abs(sum-want) > 1e-9 {
					t.Errorf("%d rows, column %d: all subsets sum to %g, want %g", rows, c, sum, want)
				}
			}
		}
	}
}

func TestResamplingDoesNotDependOnProcessors(t *testing.T) {
	r := randomResampling(50, 3)
	a := r.bootstrap(2000, 1)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if b := r.bootstrap(2000, 1); !slices.Equal(a, b) {
		t.Error("one processor gives other bits than several")
	}
}

func BenchmarkResample(b *testing.B) {
	r := randomResampling(22458, 120)
	for b.Loop() {
		r.bootstrap(10_000, 1)
		r.flips(10_000, 1)
	}
}

package bm25

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTop compares the heap with sorting everything, with many equal scores.
func TestTop(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		n, k := r.IntN(60), 1+r.IntN(20)
		hits := make([]Hit, n)
		for i := range hits {
			hits[i] = Hit{Row: uint32(i), Score: float64(r.IntN(8))}
		}
		r.Shuffle(n, func(i, j int) { hits[i], hits[j] = hits[j], hits[i] })
		best := top{k: k}
		for _, h := range hits {
			if h.Score >= best.least() {
				best.offer(h)
			}
		}
		slices.SortFunc(hits, compareHits)
		if got, want := best.sorted(), hits[:min(k, n)]; !slices.Equal(got, want) {
			t.Fatalf("k=%d: %v, want %v", k, got, want)
		}
	}
}

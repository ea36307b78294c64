package bench

import (
	"math"
	"slices"
	"testing"

	"github.com/trirank/trirank/faiss"
)

// nearest returns the mean inner product of queries with their nearest vector other
// than themselves.
func nearest(t *testing.T, queries, vectors []float32, skip int) float64 {
	t.Helper()
	hits, err := faiss.Exact(t.Context(), queries, vectors, dim, 1+skip)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.
	for _, h := range hits {
		sum += float64(h[skip].Score) / float64(len(hits))
	}
	return sum
}

func TestGenerator(t *testing.T) {
	given := clustered(1000, 7)
	g, err := NewGenerator(t.Context(), given, dim, 1)
	if err != nil {
		t.Fatal(err)
	}
	made := make([]float32, 1000*dim)
	for i := range 1000 {
		v := made[i*dim : (i+1)*dim]
		g.Vector(uint64(i), v)
		sum := 0.
		for _, x := range v {
			sum += float64(x * x)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("vector %d has length %v", i, math.Sqrt(sum))
		}
	}
	real, near := nearest(t, given, given, 1), nearest(t, made, given, 0)
	if math.Abs(real-near) > .02 {
		t.Errorf("the nearest is at %v, of generated ones at %v", real, near)
	}
	again := make([]float32, dim)
	g.Vector(3, again)
	if !slices.Equal(again, made[3*dim:4*dim]) {
		t.Error("a vector is not the same twice")
	}
	other := make([]float32, dim)
	g.VectorOf("blue jacket", again)
	g.VectorOf("blue jacket", other)
	if !slices.Equal(again, other) {
		t.Error("equal texts have different vectors")
	}
	if g.VectorOf("red jacket", other); slices.Equal(again, other) {
		t.Error("different texts have equal vectors")
	}
	if _, err := NewGenerator(t.Context(), given[:dim], dim, 1); err == nil {
		t.Error("one vector has a distribution")
	}
}

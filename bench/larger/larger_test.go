package larger

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/faiss"
)

const dim = 32

func id(row int) string { return fmt.Sprintf("p%04d", row) }

// clustered returns unit vectors around a few centres.
func clustered(n int, seed uint64) []float32 {
	g := rand.New(rand.NewPCG(seed, 1))
	centres := make([]float64, 20*dim)
	for i := range centres {
		centres[i] = g.NormFloat64()
	}
	out := make([]float32, n*dim)
	for i := range n {
		c, v := centres[g.IntN(20)*dim:], out[i*dim:(i+1)*dim]
		for j := range v {
			v[j] = float32(c[j] + .4*g.NormFloat64())
		}
		unit(v)
	}
	return out
}

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
	g, err := newGenerator(t.Context(), given, dim, 1)
	if err != nil {
		t.Fatal(err)
	}
	made := make([]float32, 1000*dim)
	for i := range 1000 {
		v := made[i*dim : (i+1)*dim]
		g.vector(uint64(i), v)
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
	g.vector(3, again)
	if !slices.Equal(again, made[3*dim:4*dim]) {
		t.Error("a vector is not the same twice")
	}
	if _, err := newGenerator(t.Context(), given[:dim], dim, 1); err == nil {
		t.Error("one vector has a distribution")
	}
}

func TestMemory(t *testing.T) {
	given := clustered(100, 2)
	g, err := newGenerator(t.Context(), given, dim, 1)
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory(&encoder.Model{Dimension: dim, MaxTokens: 8, QueryPrefix: "query: ", PassagePrefix: "passage: "}, g)
	m.passage("hat", given[:dim])
	m.query("hat", given[dim:2*dim])
	e := m.encoder()
	got := make([]float32, 3*dim)
	if err := e.Passages(t.Context(), []string{"hat", "no hat", "no hat"}, got); err != nil {
		t.Fatal(err)
	}
	for i := range dim {
		if math.Abs(float64(got[i]-given[i])) > 1e-6 {
			t.Fatalf("value %d of a known passage is %v, not %v", i, got[i], given[i])
		}
	}
	if !slices.Equal(got[dim:2*dim], got[2*dim:]) || slices.Equal(got[:dim], got[dim:2*dim]) {
		t.Error("unknown passages are not what they should be")
	}
	q, err := e.Query(t.Context(), "hat")
	if err != nil || math.Abs(float64(q[0]-given[dim])) > 1e-6 {
		t.Errorf("a known query has %v, not %v (%v)", q[0], given[dim], err)
	}
}

func TestProducts(t *testing.T) {
	given := func(row int) (catalog.Product, error) {
		return []catalog.Product{
			{ID: "a", Title: "blue wool winter hat", Brand: "Acme", Bullets: []string{"warm", "soft"}},
			{ID: "b", Title: "steel hammer", Brand: "Boltwell"},
		}[row], nil
	}
	list := func() (out []catalog.Product) {
		for p, err := range products(given, 2, 40, id, 1) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
		return out
	}
	first := list()
	titles := map[string]bool{}
	for i, p := range first[2:] {
		titles[p.Title] = true
		if p.ID != id(i+2) {
			t.Errorf("product %d has id %s", i+2, p.ID)
		}
	}
	if len(first) != 40 || first[1].ID != "b" || len(titles) != 4 || !titles["blue wool hammer"] || !titles["steel winter hat"] {
		t.Errorf("%d products, titles %v", len(first), titles)
	}
	if !reflect.DeepEqual(first, list()) {
		t.Error("they are others the second time")
	}
}

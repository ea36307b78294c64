package larger

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"github.com/trirank/trirank/faiss"
)

// generator makes vectors that are distributed as given ones are: a given vector and
// on top of it noise with the covariance of all of them (a smoothed bootstrap,
// Silverman 1986), as much of it as makes a generated vector's nearest given one as
// near as those are to each other. It may be used by many goroutines.
type generator struct {
	vectors   []float32
	dimension int
	mean      []float32
	scale     float64
	seed      uint64
}

// noiseFrom is how many given vectors the noise of one is mixed from.
const noiseFrom = 8

// newGenerator prepares to generate from unit vectors, one after the other.
func newGenerator(ctx context.Context, vectors []float32, dimension int, seed uint64) (*generator, error) {
	if dimension < 1 || len(vectors)%dimension != 0 || len(vectors)/dimension < 2 {
		return nil, errors.New("cannot generate vectors from fewer than two")
	}
	n := len(vectors) / dimension
	g := &generator{vectors: vectors, dimension: dimension, mean: make([]float32, dimension), seed: seed}
	for i := range n {
		for j, x := range g.row(i) {
			g.mean[j] += x / float32(n)
		}
	}
	// How near are the nearest?
	const most = 300
	step := max(1, n/most)
	var sample []float32
	for i := 0; i < n; i += step {
		sample = append(sample, g.row(i)...)
	}
	near, err := faiss.Exact(ctx, sample, vectors, dimension, 2)
	if err != nil {
		return nil, err
	}
	want := 0.
	for _, hits := range near {
		want += float64(hits[1].Score) / float64(len(near))
	}
	low, high := 0., 2.
	for range 12 {
		g.scale = (low + high) / 2
		for i := range len(near) {
			g.vector(uint64(i), sample[i*dimension:(i+1)*dimension])
		}
		hits, err := faiss.Exact(ctx, sample, vectors, dimension, 1)
		if err != nil {
			return nil, err
		}
		got := 0.
		for _, h := range hits {
			got += float64(h[0].Score) / float64(len(hits))
		}
		if got > want {
			low = g.scale
		} else {
			high = g.scale
		}
	}
	return g, nil
}

func (g *generator) row(i int) []float32 { return g.vectors[i*g.dimension : (i+1)*g.dimension] }

// vector writes vector number of the endless sequence to dst.
func (g *generator) vector(number uint64, dst []float32) {
	r := rand.New(rand.NewPCG(g.seed, number))
	n := len(g.vectors) / g.dimension
	copy(dst, g.row(r.IntN(n)))
	for range noiseFrom {
		weight := float32(g.scale * r.NormFloat64() / math.Sqrt(noiseFrom))
		for j, x := range g.row(r.IntN(n)) {
			dst[j] += weight * (x - g.mean[j])
		}
	}
	unit(dst)
}

// unit scales a vector to length 1.
func unit(v []float32) {
	sum := 0.
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= scale
	}
}

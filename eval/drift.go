package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/trirank/trirank/judgments"
)

// Space is what the report must know of a model's vectors. Implementations are
// used by one goroutine at a time.
type Space interface {
	// Rows is the number of products, and Vector the unit vector of one; it is
	// only good until the next call.
	Rows() int
	Vector(row int) []float32
	// ID is the product of a row, the same for all spaces.
	ID(row int) string
	// Similar returns the k products nearest to a product, without itself.
	Similar(ctx context.Context, id string, k int) ([]string, error)
}

// How much of a large catalogue the drift looks at: enough that its figures do
// not change visibly.
const (
	driftProducts   = 2000 // cosines, spread, dimensions
	driftNeighbours = 200  // products whose neighbours are compared
	driftPairs      = 5000 // random pairs of products
	driftDepth      = 20   // neighbours of each
	histogramBins   = 30
)

// collapsedAt is the anisotropy from which on vectors hardly tell products apart.
// E5's own stands near .75: its temperature of .01 crowds all cosines between .7
// and 1, which is known and no collapse.
const collapsedAt = .95

// drift compares the vectors of the baseline's model with those of the
// candidate's; where only one of the two has vectors, or none, it tells of the
// models that there are.
func (e *evaluation) drift(ctx context.Context) error {
	var with []string
	for _, s := range e.systems {
		if e.Spaces[s] != nil {
			with = append(with, s)
		}
	}
	if len(with) == 0 {
		return nil
	}
	out := &Drift{Neighbours: Number(math.NaN()), Overlap: Number(math.NaN())}
	rows := spaced(e.Spaces[with[0]].Rows(), driftProducts)
	out.Products = len(rows)
	for _, s := range with {
		g, err := e.geometry(s, rows)
		if err != nil {
			return err
		}
		out.Models = append(out.Models, g)
		if g.Collapsed {
			e.report.Notes = append(e.report.Notes, fmt.Sprintf("%s has collapsed: two random products have a cosine of %s on average, so that it hardly tells products apart.", s, Short(float64(g.Anisotropy))))
		}
	}
	if a, b := e.report.Baseline, e.report.Candidate; e.Spaces[a] != nil && e.Spaces[b] != nil {
		out.A, out.B = a, b
	} else if len(with) > 1 {
		out.A, out.B = with[0], with[1]
	}
	if out.A != "" {
		if err := e.compareSpaces(ctx, out, rows); err != nil {
			return err
		}
	}
	e.report.Drift = out
	return nil
}

// spaced returns at most n of the numbers below of, evenly spaced.
func spaced(of, n int) []int {
	n = min(of, n)
	out := make([]int, n)
	for i := range out {
		out[i] = i * of / n
	}
	return out
}

func (e *evaluation) compareSpaces(ctx context.Context, out *Drift, rows []int) error {
	a, b := e.Spaces[out.A], e.Spaces[out.B]
	if a.Rows() != b.Rows() {
		return fmt.Errorf("%s has %d vectors and %s %d", out.A, a.Rows(), out.B, b.Rows())
	}
	if len(a.Vector(0)) == len(b.Vector(0)) {
		var cosines []float64
		for _, row := range rows {
			cosines = append(cosines, dot(slices.Clone(a.Vector(row)), b.Vector(row)))
		}
		s := spread(cosines)
		out.Cosine = &s
	}
	var rbo, overlap mean
	for _, row := range spaced(a.Rows(), driftNeighbours) {
		x, err := a.Similar(ctx, a.ID(row), driftDepth)
		if err != nil {
			return err
		}
		y, err := b.Similar(ctx, a.ID(row), driftDepth)
		if err != nil {
			return err
		}
		rbo.add(RBO(x, y, .9))
		overlap.add(Overlap(x, y, movedK))
	}
	out.Neighbours, out.Overlap = rbo.value(), overlap.value()
	return nil
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

func spread(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	var m mean
	for _, v := range sorted {
		m.add(v)
	}
	center, squares := float64(m.value()), 0.
	for _, v := range sorted {
		squares += (v - center) * (v - center)
	}
	q := func(p float64) Number { return Number(quantile(sorted, p)) }
	return Spread{Mean: m.value(), Std: Number(math.Sqrt(squares / float64(len(sorted)-1))), Least: q(0), P5: q(.05), Median: q(.5), P95: q(.95), Most: q(1)}
}

// geometry describes the vectors of one model and the scores they give.
func (e *evaluation) geometry(system string, rows []int) (Geometry, error) {
	space := e.Spaces[system]
	dim := len(space.Vector(0))
	g := Geometry{System: system, Dimension: dim, Separation: Number(math.NaN()), Scores: []LabelScores{}}
	vectors := make([]float32, 0, len(rows)*dim)
	for _, row := range rows {
		vectors = append(vectors, space.Vector(row)...)
	}
	at := func(i int) []float32 { return vectors[i*dim : (i+1)*dim] }
	random := rand.New(rand.NewPCG(e.options.Seed, 3))
	var cosines mean
	for n, pairs := len(rows), 0; pairs < driftPairs && n > 1; { // counted here: a cosine may be NaN
		if i, j := random.IntN(n), random.IntN(n); i != j {
			cosines.add(dot(at(i), at(j)))
			pairs++
		}
	}
	g.Anisotropy = cosines.value()
	g.Collapsed = float64(g.Anisotropy) > collapsedAt
	g.Dimensions = Number(participation(vectors, dim))
	i := slices.Index(e.systems, system)
	if len(e.Pool) > 0 && i >= 0 && e.Pool[i] != nil {
		g.Scores, g.Separation = e.scores(e.Pool[i])
	}
	return g, nil
}

// participation is the participation ratio of the eigenvalues of the covariance
// of vectors, (sum of l)^2 / (sum of l^2): the number of directions that matter
// if all mattered alike. Both sums are traces, so no eigenvalue is computed.
func participation(vectors []float32, dim int) float64 {
	n := len(vectors) / dim
	if n < 2 {
		return math.NaN()
	}
	center := make([]float64, dim)
	for i, v := range vectors {
		center[i%dim] += float64(v) / float64(n)
	}
	covariance := make([]float64, dim*dim)
	row := make([]float64, dim)
	for i := range n {
		for j := range dim {
			row[j] = float64(vectors[i*dim+j]) - center[j]
		}
		for j, x := range row {
			to := covariance[j*dim : (j+1)*dim]
			for k, y := range row {
				to[k] += x * y
			}
		}
	}
	trace, squares := 0., 0.
	for j := range dim {
		trace += covariance[j*dim+j]
	}
	for _, v := range covariance {
		squares += v * v
	}
	return trace * trace / squares
}

// scores parts the scores of a pool run by label, and says how often a relevant
// product of a query scores above one that is not.
func (e *evaluation) scores(run *Run) ([]LabelScores, Number) {
	relevant, err := e.options.relevant(e.Qrels.Scale)
	if err != nil {
		return nil, Number(math.NaN())
	}
	bands, of := e.Qrels.Scale.Bands(mostBands)
	byLevel := make([][]float64, len(bands))
	var auc mean
	low, high := math.Inf(1), math.Inf(-1)
	for i := range e.unseen.Queries {
		q := &e.unseen.Queries[i]
		// Hits come best first: each relevant one is above all others that follow.
		var above, pairs, others, good float64
		hits := run.Hits[q.ID]
		for first := 0; first < len(hits); { // a group of equal scores at a time
			last, goodHere, othersHere := first, 0., 0.
			for ; last < len(hits) && hits[last].Score == hits[first].Score; last++ {
				if l := q.Level(hits[last].Product); l == judgments.NoLevel {
					continue
				} else if relevant[l] {
					goodHere++
				} else {
					othersHere++
				}
			}
			above += good*othersHere + goodHere*othersHere/2
			good, others = good+goodHere, others+othersHere
			first = last
		}
		if pairs = good * others; pairs > 0 {
			auc.add(above / pairs)
		}
		for _, h := range hits {
			if l := q.Level(h.Product); l != judgments.NoLevel {
				byLevel[of[l]] = append(byLevel[of[l]], h.Score)
				low, high = min(low, h.Score), max(high, h.Score)
			}
		}
	}
	out := []LabelScores{}
	for l, values := range byLevel {
		if len(values) == 0 {
			continue
		}
		s := LabelScores{Label: bands[l], Count: len(values), Spread: spread(values), From: low, To: high, Bins: make([]int, histogramBins)}
		for _, v := range values {
			b := 0
			if high > low {
				b = min(histogramBins-1, int((v-low)/(high-low)*histogramBins))
			}
			s.Bins[b]++
		}
		out = append(out, s)
	}
	return out, auc.value()
}

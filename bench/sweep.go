package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/atomicfile"
)

// SweepOptions say which indexes are built and how they are searched. Zero values
// mean the defaults.
type SweepOptions struct {
	Factories []string // default: RecallFactories
	K         []int    // default 10 and 100
	// Budget is how long each configuration is timed; at least each query is
	// searched once. Default .3 s.
	Budget time.Duration
	Dir    string // where indexes are put while they are measured; default the system's
	// Step, if not nil, is told what is done next.
	Step func(what string)
}

func (o SweepOptions) withDefaults(s *Space) (SweepOptions, error) {
	if err := s.check(); err != nil {
		return o, err
	}
	if o.Budget < 0 {
		return o, fmt.Errorf("cannot time searches for %v", o.Budget)
	}
	if len(o.Factories) == 0 {
		o.Factories = RecallFactories(s.Rows(), s.Dimension)
	}
	if len(o.K) == 0 {
		o.K = []int{10, 100}
	}
	for _, k := range o.K {
		if k < 1 || k > faiss.MaxK {
			return o, fmt.Errorf("k is %d, not within 1..%d", k, faiss.MaxK)
		}
	}
	for _, f := range o.Factories {
		if err := faiss.CheckFactory(f, s.Dimension, s.Rows()); err != nil {
			return o, err
		}
	}
	o.Budget = cmp.Or(o.Budget, 300*time.Millisecond)
	if o.Step == nil {
		o.Step = func(string) {}
	}
	return o, nil
}

// Exact is the factory of the index that compares every vector in full.
const Exact = "Flat"

// RecallFactories are the indexes that are worth comparing for n vectors.
func RecallFactories(n, dimension int) []string {
	list := []string{Exact}
	if n >= faiss.PointsPerCentroid {
		for _, codes := range []string{"Flat", "SQfp16", "SQ8"} {
			list = append(list, CodedFactory(n, codes))
		}
		if n >= faiss.PointsPerCentroid*16 && dimension%4 == 0 {
			list = append(list, CodedFactory(n, fmt.Sprintf("PQ%dx4fs,Refine(SQ8)", dimension/4)))
		}
	}
	return append(list, "HNSW32")
}

// QuantizedFactories are the ways to keep n vectors in fewer bytes, each searched in
// full so that nothing but the quantization makes a difference: what the processor
// keeps of a value, of groups of values, and one bit of a value (RaBitQ), the last
// two also with a second look at the best by finer vectors.
func QuantizedFactories(n, dimension int) []string {
	list := []string{Exact, "SQfp16", "SQ8", "SQ4"}
	if n >= faiss.PointsPerCentroid*256 && dimension%4 == 0 {
		list = append(list, fmt.Sprintf("PQ%d", dimension/4))
	}
	if n >= faiss.PointsPerCentroid*16 && dimension%4 == 0 {
		fast := fmt.Sprintf("PQ%dx4fs", dimension/4)
		list = append(list, fast, fast+",Refine(SQ8)")
	}
	return append(list, "RaBitQ", "RaBitQ,Refine(SQ8)")
}

// Sweep measures indexes of a space over their parameters: recall against exact
// search, nDCG@10 where there is a judge, and latency on one thread. Exact search is
// measured first, whether or not it is asked for.
func Sweep(ctx context.Context, s *Space, judge *Judge, o SweepOptions) ([]Result, error) {
	o, err := o.withDefaults(s)
	if err != nil {
		return nil, err
	}
	isExact := func(f string) bool { return f == Exact }
	o.Factories = append([]string{Exact}, slices.DeleteFunc(slices.Clone(o.Factories), isExact)...)
	o.Step(fmt.Sprintf("searching %d vectors exactly for %d queries", s.Rows(), s.Count()))
	t, err := newTruth(ctx, s, slices.Max(o.K))
	if err != nil {
		return nil, err
	}
	w := &sweeping{SweepOptions: o, space: s, truth: t, judge: judge, exact: map[int][]float64{}}
	for _, factory := range o.Factories {
		if err := w.factory(ctx, factory); err != nil {
			return nil, err
		}
	}
	correctAll(w.results)
	return w.results, nil
}

type sweeping struct {
	SweepOptions
	space   *Space
	truth   *truth
	judge   *Judge
	results []Result
	exact   map[int][]float64 // nDCG by query of exact search, by k
}

// built is an index that is measured, and what it took to build it.
type built struct {
	*faiss.Index
	faiss.Built
	took   time.Duration
	remove func() // the folder it lies in
}

func (b *built) close() {
	b.Close()
	b.remove()
}

// build makes an index of a space.
func build(ctx context.Context, s *Space, factory, dir string) (*built, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	dir, remove, err := atomicfile.TempDir(dir, "trirank-bench")
	if err != nil {
		return nil, err
	}
	b := &built{remove: remove}
	path := filepath.Join(dir, "index.faiss")
	start := time.Now()
	if b.Built, err = faiss.Build(ctx, path, s.Vectors, s.Dimension, faiss.BuildOptions{Factory: factory, Params: &faiss.Params{}}); err == nil {
		b.took = time.Since(start)
		b.Index, err = faiss.Open(path, b.SHA256)
	}
	if err != nil {
		remove()
		return nil, err
	}
	return b, nil
}

func (w *sweeping) factory(ctx context.Context, factory string) error {
	w.Step("building " + factory)
	b, err := build(ctx, w.space, factory, w.Dir)
	if err != nil {
		return err
	}
	defer b.close()
	settings := Settings(b.Index)
	w.Step(fmt.Sprintf("measuring %s with %d settings", factory, len(settings)))
	for _, p := range settings {
		for _, k := range w.K {
			out, err := w.truth.measure(ctx, w.space, b.Index, p, k, w.judge, w.Budget)
			if err != nil {
				return err
			}
			w.results = append(w.results, w.result(b, p, k, out))
		}
	}
	return nil
}

// Settings are the parameters with which an index is measured: powers of two up to
// all there is.
func Settings(x *faiss.Index) []faiss.Params {
	out := []faiss.Params{{}}
	vary := func(from, to int, factor int, set func(p *faiss.Params, v int)) {
		var next []faiss.Params
		for _, p := range out {
			for v := from; ; v = min(v*factor, to) {
				q := p
				set(&q, v)
				next = append(next, q)
				if v == to {
					break
				}
			}
		}
		out = next
	}
	if x.Lists() > 0 {
		vary(1, x.Lists(), 2, func(p *faiss.Params, v int) { p.NProbe = v })
	}
	if x.Refines() {
		vary(1, 16, 4, func(p *faiss.Params, v int) { p.KFactor = float64(v) })
	}
	if x.Graph() {
		vary(16, 512, 2, func(p *faiss.Params, v int) { p.EfSearch = v })
	}
	return out
}

// searchParams spells a configuration of search.
func (r *Result) searchParams(factory string, p faiss.Params) {
	r.param("index", factory)
	if p.NProbe > 0 {
		r.param("nprobe", p.NProbe)
	}
	if p.KFactor > 0 {
		r.param("kfactor", p.KFactor)
	}
	if p.EfSearch > 0 {
		r.param("ef", p.EfSearch)
	}
}

func (w *sweeping) result(b *built, p faiss.Params, k int, out *outcome) Result {
	r := Result{Name: "Search"}
	r.searchParams(b.Factory, p)
	r.param("k", k)
	r.metric(fmt.Sprintf("recall@%d", k), mean(out.recall))
	if k > first {
		r.metric(fmt.Sprintf("recall@%d", first), mean(out.recallFirst))
	}
	if out.quality != nil {
		r.metric(Quality, mean(out.quality))
	}
	r.times(out.times)
	r.metric("bytes/vector", float64(b.Bytes)/float64(b.Vectors))
	r.metric("build-s", b.took.Seconds())
	if out.quality != nil {
		if b.Factory == Exact {
			w.exact[k] = out.quality
		} else {
			r.compare(Exact, w.exact[k], out.quality)
		}
	}
	return r
}

// compare fills in by how much the result is better than a.
func (r *Result) compare(name string, a, b []float64) {
	c := compare(name, r.String(), a, b)
	if c.Queries == 0 {
		return
	}
	r.Against = &c
	sum := 0.
	for i := range a {
		if d := b[i] - a[i] - float64(c.Difference); !math.IsNaN(d) {
			sum += d * d
		}
	}
	r.Deviation = math.Sqrt(sum / max(1, float64(c.Queries-1)))
}

// compare says by how much b is better than a, query by query.
func compare(nameA, nameB string, a, b []float64) eval.Comparison {
	c := eval.ComparePaired(a, b, eval.Options{})
	c.Metric, c.A, c.B = Quality, nameA, nameB
	c.Outcome, c.Verdict = "", "" // these are for a pair by itself
	return c
}

// correctAll corrects the p values of all comparisons with the first result.
func correctAll(results []Result) {
	var list []*eval.Comparison
	for i := range results {
		list = append(list, results[i].Against)
	}
	correct(list)
}

// correct corrects the p values of comparisons for their number; some may be nil.
func correct(list []*eval.Comparison) {
	list = slices.DeleteFunc(list, func(c *eval.Comparison) bool { return c == nil })
	family := make([]eval.Comparison, len(list))
	for i, c := range list {
		family[i] = *c
	}
	eval.Holm(family)
	for i, c := range list {
		*c = family[i]
	}
}

// mean leaves out values that do not exist; it is NaN if none does.
func mean(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

// Front reports for each result whether no other one is at least as good in both
// units and better in one: less is better of x, more of y.
func Front(results []Result, x, y string) []bool {
	out := make([]bool, len(results))
	for i := range results {
		xi, okX := results[i].Metric(x)
		yi, okY := results[i].Metric(y)
		out[i] = okX && okY && !slices.ContainsFunc(results, func(r Result) bool {
			xr, okX := r.Metric(x)
			yr, okY := r.Metric(y)
			return okX && okY && xr <= xi && yr >= yi && (xr < xi || yr > yi)
		})
	}
	return out
}

package bench

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/judgments"
)

const dim = 32

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
		norm := 0.
		for _, x := range v {
			norm += float64(x * x)
		}
		for j := range v {
			v[j] /= float32(math.Sqrt(norm))
		}
	}
	return out
}

// space has 2,000 products and 40 queries.
func space() *Space {
	v := clustered(2040, 1)
	return &Space{Name: "pretrained", Model: "model, fp32", Dimension: dim, Vectors: v[:2000*dim], Queries: v[2000*dim:]}
}

func id(row int) string { return fmt.Sprintf("p%04d", row) }

// judged makes the five nearest products of each query exact, but every other query
// lacks judgements of its nearest.
func judged(t testing.TB, s *Space) *Judge {
	t.Helper()
	near, err := faiss.Exact(t.Context(), s.Queries, s.Vectors, s.Dimension, 5)
	if err != nil {
		t.Fatal(err)
	}
	qrels, _, err := judgments.NewSet(judgments.Of(func(yield func(judgments.Judgment, error) bool) {
		for q, hits := range near {
			for i, h := range hits {
				label := judgments.Exact
				if i%2 == 1 {
					label = judgments.Irrelevant
				}
				if !yield(judgments.Judgment{QueryID: fmt.Sprintf("q%03d", q), Query: fmt.Sprintf("query %d", q), Product: id(int(h.ID)), Label: label}, nil) {
					return
				}
			}
		}
	}), judgments.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewJudge(qrels, id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func metric(t *testing.T, r *Result, unit string) float64 {
	t.Helper()
	v, ok := r.Metric(unit)
	if !ok {
		t.Fatalf("%s has no %s: %v", r, unit, r.Metrics)
	}
	return v
}

func TestSweep(t *testing.T) {
	s := space()
	o := SweepOptions{Factories: []string{"IVF40,Flat", "IVF40,SQ8", "IVF40,PQ8x4fs,Refine(SQ8)", "HNSW16", "Flat"}, Budget: time.Millisecond, Dir: t.TempDir()}
	results, err := Sweep(t.Context(), s, judged(t, s), o)
	if err != nil {
		t.Fatal(err)
	}
	if r := &results[0]; r.String() != "Search/index=Flat/k=10" || metric(t, r, "recall@10") != 1 || r.Against != nil {
		t.Errorf("exact search is %s: %+v", r, r)
	}
	exact := metric(t, &results[0], Quality)
	if exact < .5 || exact > 1 {
		t.Errorf("exact search has %v", exact)
	}
	last := map[string]float64{}
	count := map[string]int{}
	for i := range results {
		r := &results[i]
		count[r.Param("index")]++
		recall := metric(t, r, "recall@"+r.Param("k"))
		series := r.Param("index") + r.Param("k") + r.Param("kfactor")
		if recall < last[series]-.02 {
			t.Errorf("%s finds less than with less effort: %v after %v", r, recall, last[series])
		}
		last[series] = recall
		if r.Param("index") == "IVF40,Flat" && r.Param("nprobe") == "40" {
			if recall != 1 || math.Abs(metric(t, r, Quality)-exact) > 1e-12 || float64(r.Against.Difference) != 0 {
				t.Errorf("all lists are not exact: %+v", r)
			}
		}
		if p50 := metric(t, r, "p50-ns"); p50 < leastTime || metric(t, r, "bytes/vector") <= 0 || r.Runs < s.Count() {
			t.Errorf("%s: %+v", r, r)
		}
	}
	// nprobe 1, 2, 4, ... 32, 40; kfactor 1, 4, 16; ef 16 to 512; k 10 and 100.
	for index, want := range map[string]int{"Flat": 2, "IVF40,Flat": 14, "IVF40,SQ8": 14, "IVF40,PQ8x4fs,Refine(SQ8)": 42, "HNSW16": 12} {
		if count[index] != want {
			t.Errorf("%d results for %s, not %d", count[index], index, want)
		}
	}
	if r := results[2]; r.String() != "Search/index=IVF40,Flat/nprobe=1/k=10" || float64(r.Against.Low) > float64(r.Against.Difference) || r.Against.Queries != 40 {
		t.Errorf("%s: %+v", &r, r.Against)
	}
}

func TestSweepRefuses(t *testing.T) {
	s := space()
	for name, c := range map[string]struct {
		s    *Space
		o    SweepOptions
		want string
	}{
		"k":       {s, SweepOptions{K: []int{0}}, "not within"},
		"factory": {s, SweepOptions{Factories: []string{"IVF99999,Flat"}}, "lists need"},
		"queries": {&Space{Name: "x", Dimension: dim, Vectors: s.Vectors}, SweepOptions{}, "needs products and queries"},
	} {
		if _, err := Sweep(t.Context(), c.s, nil, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sweep(ctx, s, nil, SweepOptions{}); err == nil {
		t.Error("it goes on when it is interrupted")
	}
}

// Of products with equal vectors either may be found.
func TestRecallOfTies(t *testing.T) {
	v := clustered(100, 3)
	copy(v[9*dim:10*dim], v[:dim])
	s := &Space{Name: "x", Dimension: dim, Vectors: v, Queries: v[:dim]}
	tr, err := newTruth(t.Context(), s, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   uint32
		want float64
	}{{0, 1}, {9, 1}, {1, 0}} {
		if got := tr.recall(0, []faiss.Hit{{ID: c.id}}, 1); got != c.want {
			t.Errorf("recall with product %d is %v", c.id, got)
		}
	}
	if got := tr.recall(0, nil, 1); got != 0 {
		t.Errorf("recall of nothing is %v", got)
	}
}

func TestWaterfallAndModels(t *testing.T) {
	s := space()
	j := judged(t, s)
	rough := &Space{Name: "int8", Model: "model, int8", Dimension: dim, Vectors: slices.Clone(s.Vectors), Queries: slices.Clone(s.Queries)}
	g := rand.New(rand.NewPCG(4, 4))
	for _, values := range [][]float32{rough.Vectors, rough.Queries} {
		for i := range values {
			values[i] += float32(.05 * g.NormFloat64())
		}
	}
	var texts []string
	for i := range s.Count() {
		texts = append(texts, fmt.Sprintf("query %d", i))
	}
	w, err := NewWaterfall(t.Context(), s, rough, "SQ4", texts, j, SweepOptions{Budget: time.Millisecond, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	recall := []float64{}
	for i := range w.Steps {
		names = append(names, w.Steps[i].Name)
		recall = append(recall, metric(t, &w.Steps[i].Result, "recall@10"))
		sum := 0.
		for _, q := range w.Queries {
			sum += q.Recall[i]
		}
		if math.Abs(sum/40-recall[i]) > 1e-9 {
			t.Errorf("step %d: recall %v, the mean of its queries is %v", i, recall[i], sum/40)
		}
		if i > 0 && math.Abs(w.Steps[i].LostRecall-(recall[i-1]-recall[i])) > 1e-12 {
			t.Errorf("step %d lost %v from %v to %v", i, w.Steps[i].LostRecall, recall[i-1], recall[i])
		}
	}
	if !slices.Equal(names, []string{"exact search", "inverted lists", "quantized vectors", "quantized model"}) {
		t.Errorf("%q", names)
	}
	if recall[0] != 1 || recall[1] < .99 || recall[2] >= recall[1] || recall[3] >= recall[2] {
		t.Errorf("recall goes %v", recall)
	}
	models, own, err := Models(t.Context(), s, []*Space{rough}, j, SweepOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if len(models) != 3 || !slices.Equal(own, []int{2}) || metric(t, &models[0], "recall@10") != 1 || metric(t, &models[2], "recall@10") >= metric(t, &models[1], "recall@10") || models[2].Against == nil {
		t.Errorf("%+v", models)
	}
}

// configuration is a result of index with what Choose looks at.
func configuration(index string, k int, ndcg, low, p50, bytes float64) Result {
	r := Result{Name: "Search", Params: []Param{{"index", index}, {"nprobe", "7"}, {"k", fmt.Sprint(k)}}, Metrics: []Metric{{Quality, ndcg}, {Median, p50}, {VectorBytes, bytes}, {"recall@10", .98}}}
	if index != Exact {
		r.Against, r.Deviation = &eval.Comparison{Queries: 50, Difference: eval.Number(ndcg - .6), Low: eval.Number(low), High: .01}, .002
	}
	return r
}

func TestChoose(t *testing.T) {
	results := []Result{
		configuration(Exact, 100, .6, 0, 5e6, 1536),
		configuration("IVF9,Flat", 100, .599, -.002, 1e6, 1540),
		configuration("IVF9,SQ8", 100, .598, -.0029, .5e6, 400),
		configuration("IVF9,PQ8", 100, .597, -.004, .1e6, 20), // may lose too much
		configuration("IVF9,SQ4", 10, .6, 0, .2e6, 200),       // not as deep as is served
	}
	c, err := Choose(results, .003, Median)
	if err != nil {
		t.Fatal(err)
	}
	if c.Factory != "IVF9,SQ8" || c.Params != (faiss.Params{NProbe: 7}) || c.Considered != 4 || c.Qualified != 3 || c.Recall != .98 {
		t.Errorf("%+v", c)
	}
	if want := "ndcg@10 against exact search, with 50 queries: -.002 [-.003, +.010], so not worse by .003, which also holds when corrected for 4 configurations; 0.10 times its time, 0.26 times its bytes; the cheapest of 3 that qualify"; c.Evidence != want {
		t.Errorf("%s", c.Evidence)
	}
	if c, err = Choose(results, .0001, VectorBytes); err != nil || c.Factory != Exact || !strings.HasPrefix(c.Evidence, "exact search: of 4") {
		t.Errorf("%+v, %v", c, err)
	}
	// What few queries say, and what is not shown among so many, does not count.
	few, unsure := slices.Clone(results), slices.Clone(results)
	for i := range few[1:] {
		x := *few[i+1].Against
		x.Queries = 29
		few[i+1].Against = &x
		unsure[i+1].Deviation = .02
	}
	for name, list := range map[string][]Result{"few": few, "unsure": unsure} {
		if c, err := Choose(list, .003, Median); err != nil || c.Factory != Exact {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	for _, bad := range []func() (*Choice, error){
		func() (*Choice, error) { return Choose(results, 0, Median) },
		func() (*Choice, error) { return Choose(results, .01, "beauty") },
		func() (*Choice, error) { return Choose(results[1:], .01, Median) },
	} {
		if _, err := bad(); err == nil {
			t.Error("no error")
		}
	}
}

func TestFront(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 9))
	var results []Result
	for range 60 {
		results = append(results, Result{Metrics: []Metric{{"x", float64(g.IntN(8))}, {"y", float64(g.IntN(8))}}})
	}
	results = append(results, Result{})
	for i, got := range Front(results, "x", "y") {
		want := len(results[i].Metrics) > 0
		for _, o := range results[:60] {
			if want && (o.Metrics[0].Value <= results[i].Metrics[0].Value && o.Metrics[1].Value > results[i].Metrics[1].Value ||
				o.Metrics[0].Value < results[i].Metrics[0].Value && o.Metrics[1].Value >= results[i].Metrics[1].Value) {
				want = false
			}
		}
		if got != want {
			t.Errorf("result %d: %v", i, got)
		}
	}
}

func TestWrite(t *testing.T) {
	r := Report{Subject: "shop", Machine: Machine{Processor: "a processor", Cores: 2, Program: "trirank 1", Go: "go1"}}
	r.Sections = []Section{{Results: []Result{configuration("IVF9,Refine(SQ8)", 10, .5, 0, 1.5e6, 400)}}}
	r.Sections[0].Results[0].Params = append(r.Sections[0].Results[0].Params, Param{"model", "a b/c"})
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "BenchmarkSearch/index=IVF9,Refine(SQ8)/nprobe=7/k=10/model=a_b_c-2 1 0.5 ndcg@10 1500000 p50-ns 400 bytes/vector 0.98 recall@10\n"
	if !strings.HasSuffix(b.String(), want) || !strings.HasPrefix(b.String(), "Unit ndcg@10 better=higher\nUnit recall@10 better=higher\n") {
		t.Errorf("%s", b.String())
	}
}

// A percentile is told only where enough was measured beyond it.
func TestTimes(t *testing.T) {
	for runs, want := range map[int]string{2: "p50-ns", 10: "p50-ns p90-ns", 100: "p50-ns p90-ns p99-ns", 1000: "p50-ns p90-ns p99-ns p99.9-ns"} {
		h := hdrhistogram.New(leastTime, mostTime, digits)
		for i := range runs {
			record(h, time.Duration(i+1)*time.Millisecond)
		}
		record(h, time.Hour)
		var r Result
		r.times(h)
		var units []string
		for _, m := range r.Metrics {
			units = append(units, m.Unit)
		}
		if got := strings.Join(units, " "); got != want {
			t.Errorf("%d runs give %s, not %s", runs, got, want)
		}
	}
}

func TestBehind(t *testing.T) {
	const limit = 50 * time.Millisecond
	for want, r := range map[string]rung{
		"":                            {rate: 100, answered: 96, p99: limit},
		"the p99 is 50.1ms":           {rate: 100, answered: 100, p99: limit + 100*time.Microsecond},
		"2 requests were not":         {rate: 100, answered: 98, p99: limit, failed: 2},
		"94.5 a second were answered": {rate: 100, answered: 94.5, p99: limit},
	} {
		if got := r.behind(limit); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%+v: %q", r, got)
		}
	}
}

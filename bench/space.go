package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/judgments"
)

// Space is what a dense ranking searches: the vectors of products by one model, and
// of queries, one after the other and each of unit length.
type Space struct {
	Name      string // of the ranking
	Model     string // and its precision, for people
	Dimension int
	Vectors   []float32
	Queries   []float32
}

// Rows returns the number of products.
func (s *Space) Rows() int { return len(s.Vectors) / s.Dimension }

// Count returns the number of queries.
func (s *Space) Count() int { return len(s.Queries) / s.Dimension }

func (s *Space) query(i int) []float32 { return s.Queries[i*s.Dimension : (i+1)*s.Dimension] }

func (s *Space) check() error {
	if s.Dimension < 1 || len(s.Vectors) == 0 || len(s.Vectors)%s.Dimension != 0 || len(s.Queries) == 0 || len(s.Queries)%s.Dimension != 0 {
		return fmt.Errorf("cannot measure ranking %s: it needs products and queries with vectors of one dimension", s.Name)
	}
	return nil
}

// Judge says how good the answers to judged queries are, by nDCG@10.
type Judge struct {
	Qrels *judgments.Set
	// ID names the product of a row.
	ID func(row int) string

	calc *eval.Calculator
	hits []eval.Hit
}

// NewJudge makes a judge of the queries of qrels, in their order.
func NewJudge(qrels *judgments.Set, id func(row int) string) (*Judge, error) {
	o, err := eval.Options{}.WithDefaults(qrels.Scale)
	if err != nil {
		return nil, err
	}
	m, err := eval.ParseMetric(Quality)
	if err != nil {
		return nil, err
	}
	calc, err := eval.NewCalculator(qrels.Scale, []eval.Metric{m}, o.Tables, o.Relevant)
	if err != nil {
		return nil, err
	}
	return &Judge{Qrels: qrels, ID: id, calc: calc}, nil
}

// Quality is the metric by which configurations are judged.
const Quality = "ndcg@10"

// value is the nDCG@10 of what was found for a query; NaN where it has none.
func (j *Judge) value(query int, hits []faiss.Hit) float64 {
	j.hits = j.hits[:0]
	for _, h := range hits {
		j.hits = append(j.hits, eval.Hit{Product: j.ID(int(h.ID)), Score: float64(h.Score)})
	}
	var out [1]float64
	j.calc.Query(&j.Qrels.Queries[query], j.hits, out[:])
	return out[0]
}

// truth is what exact search finds in a space.
type truth struct {
	space *Space
	hits  [][]faiss.Hit // by query, depth many
}

func newTruth(ctx context.Context, s *Space, depth int) (*truth, error) {
	hits, err := faiss.Exact(ctx, s.Queries, s.Vectors, s.Dimension, min(max(depth, first), s.Rows()))
	return &truth{s, hits}, err
}

// recall is the share of the k true nearest that is among the first k hits. A hit
// counts if it is as near as the k-th of the truth, so that which of two products
// with the same text is found makes no difference.
func (t *truth) recall(query int, hits []faiss.Hit, k int) float64 {
	k = min(k, t.space.Rows())
	found := faiss.Near(hits[:min(k, len(hits))], t.space.query(query), t.space.Vectors, t.hits[query][k-1].Score)
	return float64(found) / float64(k)
}

// outcome is what was measured of an index with some parameters.
type outcome struct {
	recall []float64 // by query, of all that was searched for
	// recallFirst is of the first ten.
	recallFirst []float64
	quality     []float64 // by query; nil without judgements
	times       *hdrhistogram.Histogram
}

// Bounds of the times that are recorded, in nanoseconds, and their precision.
const (
	leastTime, mostTime = 100, int64(time.Minute)
	digits              = 3
)

func newTimes() *hdrhistogram.Histogram { return hdrhistogram.New(leastTime, mostTime, digits) }

// record keeps a time; what is out of bounds counts as the bound.
func record(h *hdrhistogram.Histogram, took time.Duration) {
	_ = h.RecordValue(min(max(int64(took), leastTime), mostTime))
}

// first is how many hits people look at.
const first = 10

// measure searches the queries of s, which may be of another model than the truth,
// for k products and times that on one thread until the budget is spent.
func (t *truth) measure(ctx context.Context, s *Space, x *faiss.Index, p faiss.Params, k int, judge *Judge, budget time.Duration) (*outcome, error) {
	if s.Count() != t.space.Count() || x.Len() != t.space.Rows() {
		return nil, errors.New("cannot compare rankings of different products or queries")
	}
	out := &outcome{times: newTimes()}
	for i := range s.Count() { // not timed: it warms the caches as well
		hits, err := x.Search(ctx, s.query(i), k, p, nil)
		if err != nil {
			return nil, err
		}
		out.recall = append(out.recall, t.recall(i, hits, k))
		out.recallFirst = append(out.recallFirst, t.recall(i, hits, first))
		if judge != nil {
			out.quality = append(out.quality, judge.value(i, hits))
		}
	}
	for end := time.Now().Add(budget); ; {
		for i := range s.Count() {
			start := time.Now()
			if _, err := x.Search(ctx, s.query(i), k, p, nil); err != nil {
				return nil, err
			}
			record(out.times, time.Since(start))
		}
		if time.Now().After(end) && out.times.TotalCount() >= 2 { // a median takes two
			return out, nil
		}
	}
}

// times adds percentiles to a result.
func (r *Result) times(h *hdrhistogram.Histogram) {
	r.Runs = int(h.TotalCount())
	for _, q := range []struct {
		unit string
		at   float64
	}{{"p50-ns", 50}, {"p90-ns", 90}, {"p99-ns", 99}, {"p99.9-ns", 99.9}} {
		// A percentile needs observations beyond it.
		if float64(r.Runs)*(100-q.at) >= 100 {
			r.metric(q.unit, float64(h.ValueAtQuantile(q.at)))
		}
	}
}

package bench

import (
	"context"
	"fmt"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/faiss"
)

// Waterfall says where relevance is lost on the way from exact search with the
// full model to what is served: each step changes one thing more.
type Waterfall struct {
	Steps   []Step      `json:"steps"`
	Queries []QueryLoss `json:"queries"`
}

// Step is a step of a Waterfall.
type Step struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	// Lost compares nDCG@10 with the step before; nil for the first step, and
	// without judgements.
	Lost *eval.Comparison `json:"lost,omitempty"`
	// LostRecall is what recall@10 is less than at the step before.
	LostRecall float64 `json:"lost_recall"`
}

// QueryLoss is the waterfall of one query: a value for each step.
type QueryLoss struct {
	Query   string        `json:"query"`
	Recall  []float64     `json:"recall"`
	Quality []eval.Number `json:"ndcg,omitempty"`
}

// waterfallK is how deep the engine searches; recall is of the first ten.
const waterfallK = 100

// exact completes options for measurements by exact search as deep as the engine's, and
// does that search.
func (o SweepOptions) exact(ctx context.Context, s *Space) (SweepOptions, *truth, error) {
	o.Factories = []string{Exact}
	o, err := o.withDefaults(s)
	if err != nil {
		return o, nil, err
	}
	t, err := newTruth(ctx, s, waterfallK)
	return o, t, err
}

// CodedFactory is the index of a waterfall whose inverted lists hold n vectors in an
// encoding as FAISS writes it, such as SQ8.
func CodedFactory(n int, codes string) string { return fmt.Sprintf("IVF%d,%s", faiss.Lists(n), codes) }

// NewWaterfall measures the steps from exact search over inverted lists and codes,
// the code of a FAISS factory such as SQ8, to a quantized model: a space of the same
// products and queries by another model, or nil. texts names the queries. Lists are
// visited as many as it takes for a recall@10 of .99 before quantization.
func NewWaterfall(ctx context.Context, s, quantized *Space, codes string, texts []string, judge *Judge, o SweepOptions) (*Waterfall, error) {
	o, t, err := o.exact(ctx, s)
	if err != nil {
		return nil, err
	}
	plain, coded := CodedFactory(s.Rows(), "Flat"), CodedFactory(s.Rows(), codes)
	type stage struct {
		name, factory string
		space         *Space
	}
	stages := []stage{{"exact search", Exact, s}, {"inverted lists", plain, s}, {"quantized vectors", coded, s}}
	if quantized != nil {
		if err := quantized.check(); err != nil {
			return nil, err
		}
		stages = append(stages, stage{"quantized model", coded, quantized})
	}
	out := &Waterfall{Queries: make([]QueryLoss, s.Count())}
	for i := range out.Queries {
		out.Queries[i].Query = texts[i]
	}
	var last *outcome
	var params faiss.Params
	for _, stage := range stages {
		if err := faiss.CheckFactory(stage.factory, stage.space.Dimension, stage.space.Rows()); err != nil {
			return nil, err
		}
		o.Step("measuring " + stage.name)
		b, err := build(ctx, stage.space, stage.factory, o.Dir)
		if err != nil {
			return nil, err
		}
		if stage.factory == plain {
			params, err = t.enough(ctx, b.Index, .99)
		}
		var measured *outcome
		if err == nil {
			measured, err = t.measure(ctx, stage.space, b.Index, params, waterfallK, judge, o.Budget)
		}
		b.close()
		if err != nil {
			return nil, err
		}
		out.add(stage.name, stage.space, b, params, measured, last)
		last = measured
	}
	var lost []*eval.Comparison
	for i := range out.Steps {
		lost = append(lost, out.Steps[i].Lost)
	}
	correct(lost)
	return out, nil
}

func (w *Waterfall) add(name string, s *Space, b *built, p faiss.Params, now, before *outcome) {
	r := Result{Name: "Waterfall"}
	r.param("step", name)
	r.param("model", s.Model)
	r.searchParams(b.Factory, p)
	r.metric(fmt.Sprintf("recall@%d", first), mean(now.recallFirst))
	if now.quality != nil {
		r.metric(Quality, mean(now.quality))
	}
	r.times(now.times)
	r.metric("bytes/vector", float64(b.Bytes)/float64(b.Vectors))
	step := Step{Name: name, Result: r}
	if before != nil {
		step.LostRecall = mean(before.recallFirst) - mean(now.recallFirst)
		if now.quality != nil {
			if c := compare(w.Steps[len(w.Steps)-1].Name, name, before.quality, now.quality); c.Queries > 0 {
				step.Lost = &c
			}
		}
	}
	w.Steps = append(w.Steps, step)
	for i := range w.Queries {
		q := &w.Queries[i]
		q.Recall = append(q.Recall, now.recallFirst[i])
		if now.quality != nil {
			q.Quality = append(q.Quality, eval.Number(now.quality[i]))
		}
	}
}

// enough returns how many lists have to be visited for a recall@10.
func (t *truth) enough(ctx context.Context, x *faiss.Index, recall float64) (p faiss.Params, err error) {
	for p.NProbe = 1; p.NProbe < x.Lists(); p.NProbe = min(2*p.NProbe, x.Lists()) {
		out, err := t.measure(ctx, t.space, x, p, first, nil, 0)
		if err != nil || mean(out.recallFirst) >= recall {
			return p, err
		}
	}
	return p, nil
}

// Models compares models by exact search: the first space's with that of each
// other one, and with queries of the other one among products of the first, which
// is what happens where an index is not built anew for a quantized model. own are the
// places in results of those of each other space by itself.
func Models(ctx context.Context, s *Space, others []*Space, judge *Judge, o SweepOptions) (results []Result, own []int, err error) {
	o, t, err := o.exact(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	var exact []float64 // nDCG of the first space
	measure := func(products, queries string, x *Space) error {
		if err := x.check(); err != nil {
			return err
		}
		o.Step(fmt.Sprintf("measuring products by %s and queries by %s", products, queries))
		b, err := build(ctx, x, Exact, o.Dir)
		if err != nil {
			return err
		}
		defer b.close()
		out, err := t.measure(ctx, x, b.Index, faiss.Params{}, waterfallK, judge, 0)
		if err != nil {
			return err
		}
		r := Result{Name: "Model", Runs: x.Count()}
		r.param("products", products)
		r.param("queries", queries)
		r.metric(fmt.Sprintf("recall@%d", first), mean(out.recallFirst))
		if out.quality != nil {
			r.metric(Quality, mean(out.quality))
			if exact == nil {
				exact = out.quality
			} else {
				r.compare(results[0].String(), exact, out.quality)
			}
		}
		results = append(results, r)
		return nil
	}
	if err := measure(s.Model, s.Model, s); err != nil {
		return nil, nil, err
	}
	for _, x := range others {
		mixed := *x
		mixed.Vectors = s.Vectors
		if x.Dimension == s.Dimension {
			if err := measure(s.Model, x.Model, &mixed); err != nil {
				return nil, nil, err
			}
		}
		own = append(own, len(results))
		if err := measure(x.Model, x.Model, x); err != nil {
			return nil, nil, err
		}
	}
	correctAll(results)
	return results, own, nil
}

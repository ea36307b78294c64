// Package judge asks an engine all judged queries and hands its rankings to an
// evaluation. It holds no state; its functions may be called by many goroutines.
package judge

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// Fusion is a fusion to be judged beside the engine's own.
type Fusion struct {
	Name   string
	Fusion *engine.Fusion
}

// Runs returns the rankings of all systems of e for the queries of q, then those
// of the further fusions: of the whole catalogue, and of each query's judged
// products, which must all be in the catalogue; nil for a system that cannot score
// a given product, and none where nothing is judged. A query that fails is an error, not
// an empty ranking. progress, if not nil, is told how many queries are done.
func Runs(ctx context.Context, e *engine.Engine, q *judgments.Set, further []Fusion, progress func(done int)) (full, pool []*eval.Run, err error) {
	var fusions []*engine.Fusion
	for _, f := range further {
		fusions = append(fusions, f.Fusion)
	}
	info := e.Info()
	type answer struct{ full, pool []engine.List }
	answers := make([]answer, len(q.Queries))
	err = each(ctx, len(q.Queries), progress, func(ctx context.Context, i int) (err error) {
		query := &q.Queries[i]
		if answers[i].full, err = e.Lists(ctx, query.Text, fusions); err != nil {
			return err
		}
		if len(query.Products) == 0 {
			return nil
		}
		answers[i].pool, err = e.Pool(ctx, query.Text, query.Products, fusions)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot judge the rankings: %w", err)
	}
	for i := range len(info.Systems) + len(further) {
		run := eval.Run{Kind: "fused"}
		if i < len(info.Systems) {
			s := info.Systems[i]
			run.System, run.Kind, run.Detail = s.Name, s.Kind, s.Detail
		} else {
			f := further[i-len(info.Systems)]
			run.System, run.Detail = f.Name, f.Fusion.String()
		}
		ofFull, ofPool := run, run
		ofFull.Hits, ofPool.Hits = make(map[string][]eval.Hit, len(answers)), make(map[string][]eval.Hit, len(answers))
		scores := true
		for j, a := range answers {
			ofFull.Hits[q.Queries[j].ID] = hits(a.full[i])
			if a.pool != nil {
				ofPool.Hits[q.Queries[j].ID] = hits(a.pool[i])
				scores = scores && a.pool[i].Hits != nil
			}
		}
		full = append(full, &ofFull)
		if q.Count == 0 {
			continue
		}
		if scores {
			pool = append(pool, &ofPool)
		} else {
			pool = append(pool, nil)
		}
	}
	return full, pool, nil
}

func hits(l engine.List) []eval.Hit {
	out := make([]eval.Hit, len(l.Hits))
	for i, h := range l.Hits {
		out[i] = eval.Hit{Product: h.ID, Score: h.Score}
	}
	return out
}

// each calls do for 0..n-1, as many at a time as there are processors.
func each(ctx context.Context, n int, progress func(done int), do func(ctx context.Context, i int) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var done atomic.Int64
	for i := range n {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			err := do(inner, i)
			if progress != nil {
				progress(int(done.Add(1)))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// Settings are the fusions of a and b that tuning tries: reciprocal rank with
// several constants and weights, and all convex combinations by steps of a
// twentieth.
func Settings(a, b string) (out []*engine.Fusion) {
	for _, constant := range []float64{60, 1, 5, 10, 20, 100} {
		for _, weight := range []float64{1, .5, 2, 4} {
			out = append(out, &engine.Fusion{Method: engine.RRF, Constant: constant, Weights: map[string]float64{a: 1, b: weight}})
		}
	}
	for i := 1; i < 20; i++ {
		w := float64(i) / 20
		out = append(out, &engine.Fusion{Method: engine.Convex, Weights: map[string]float64{a: w, b: float64(20-i) / 20}})
	}
	return out
}

// Tune chooses among settings with the queries for which dev says so, and tests
// the choice on the others. The engine's own fusion is one of the settings, and
// what the choice is compared with.
func Tune(ctx context.Context, e *engine.Engine, q *judgments.Set, dev func(*judgments.Query) bool, settings []*engine.Fusion, metric eval.Metric, o eval.Options, progress func(done int)) (*eval.FusionTuning, error) {
	own := ""
	if text := e.Info().Fusion; text != "" {
		f, err := engine.ParseFusion(text)
		if err != nil {
			return nil, err
		}
		own = f.String()
		if !slices.ContainsFunc(settings, func(s *engine.Fusion) bool { return s.String() == own }) {
			settings = append([]*engine.Fusion{f}, settings...)
		}
	}
	var names []string
	for _, s := range settings {
		names = append(names, s.String())
	}
	tuner, err := eval.NewTuner(names, metric, q.Scale, o)
	if err != nil {
		return nil, err
	}
	rankings := make([][][]eval.Hit, len(q.Queries))
	err = each(ctx, len(q.Queries), progress, func(ctx context.Context, i int) error {
		lists, err := e.Lists(ctx, q.Queries[i].Text, settings)
		if err != nil {
			return err
		}
		for _, l := range lists[len(lists)-len(settings):] {
			rankings[i] = append(rankings[i], hits(l))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot tune the fusion: %w", err)
	}
	for i := range q.Queries {
		tuner.Add(&q.Queries[i], rankings[i], dev(&q.Queries[i]))
	}
	return tuner.Choose(own)
}

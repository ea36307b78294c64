package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/trirank/trirank/catalog"
)

// annotate adds distributions and explanations, each ranking's in its own
// goroutine. What cannot be had is left out: the hits stand without it.
func (e *Engine) annotate(ctx context.Context, q Query, r Request, resp *Response) {
	var wg sync.WaitGroup
	for i := range resp.Rankings {
		out := &resp.Rankings[i]
		at, ok := e.byName[out.System]
		if !ok || out.Error != "" { // a fusion explains itself by its components
			continue
		}
		ranker := e.config.Systems[at].Ranker
		// A panic costs the annotation alone, as one in Rank costs the ranking.
		wg.Go(func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			defer func() { _ = recover() }()
			if s, ok := ranker.(Scorer); ok && r.Distribution {
				start := time.Now()
				if d, err := e.distribution(ctx, s, q); err == nil {
					out.Distribution = d
					took := time.Since(start)
					out.Stages = append(out.Stages, Stage{Name: "distribution", Took: took, MS: ms(took)})
				}
			}
			if x, ok := ranker.(Explainer); ok && r.Explain {
				for j := range out.Hits {
					if ex, err := x.Explain(ctx, q, out.Hits[j].Row); err == nil {
						out.Hits[j].Explanation = ex
					}
				}
			}
		})
	}
	wg.Wait()
}

// distribution describes all scores of a ranking for q.
func (e *Engine) distribution(ctx context.Context, s Scorer, q Query) (*Distribution, error) {
	n, scope := e.config.Products.Len(), "catalogue"
	if e.sample != nil {
		n, scope = len(e.sample), "sample"
	}
	scores := make([]float64, n)
	if err := s.Scores(ctx, q, e.sample, scores); err != nil {
		return nil, err
	}
	d := Describe(scores)
	d.Scope = scope
	return d, nil
}

// ErrUnknown marks an error about something that does not exist.
var ErrUnknown = fmt.Errorf("%w: unknown", ErrRequest)

// Product returns the product with the given id.
func (e *Engine) Product(id string) (p catalog.Product, err error) {
	defer e.guard(&err)()
	row, ok := e.config.Products.Row(id)
	if !ok {
		return catalog.Product{}, fmt.Errorf("%w product %.40q", ErrUnknown, id)
	}
	return e.config.Products.Product(row)
}

// Similar returns the at most k products most like product id by the given
// system, the first that can tell if it is empty. The product itself is left out.
func (e *Engine) Similar(ctx context.Context, id, system string, k int) (out *Ranking, err error) {
	defer e.guard(&err)()
	row, ok := e.config.Products.Row(id)
	if !ok {
		return nil, fmt.Errorf("%w product %.40q", ErrUnknown, id)
	}
	if k == 0 {
		k = DefaultK
	}
	if k < 1 || k > MaxK {
		return nil, requestError("k is %d, not within 1..%d", k, MaxK)
	}
	for _, s := range e.config.Systems {
		similar, ok := s.Ranker.(Similar)
		if !ok || (system != "" && s.Name != system) {
			continue
		}
		start := time.Now()
		ranked, err := similar.Similar(ctx, row, k+1)
		if err != nil {
			return nil, fmt.Errorf("cannot find products like %s by %s: %w", id, s.Name, err)
		}
		e.order(ranked.Hits)
		hits := make([]fused, 0, k)
		for _, h := range ranked.Hits {
			if h.Row != row && len(hits) < k {
				hits = append(hits, fused{Scored: h})
			}
		}
		out = &Ranking{System: s.Name, TookMS: ms(time.Since(start))}
		return out, e.fill(out, hits, nil, nil, nil)
	}
	return nil, requestError("system %.40q is unknown or cannot compare products", system)
}

// Embed returns unit vectors of texts by a system's model, the first system that
// has one if it is empty, and the name of the system.
func (e *Engine) Embed(ctx context.Context, system string, texts []string, asQueries bool) ([][]float32, string, error) {
	for _, s := range e.config.Systems {
		if m, ok := s.Ranker.(Embedder); ok && (system == "" || s.Name == system) {
			v, err := m.Embed(ctx, texts, asQueries)
			return v, s.Name, err
		}
	}
	return nil, "", requestError("system %.40q is unknown or has no model", system)
}

// Info says what an engine is made of.
type Info struct {
	Catalogue string       `json:"catalogue"`
	Products  int          `json:"products"`
	Systems   []SystemInfo `json:"systems"`
	Fusion    string       `json:"fusion,omitempty"` // as ParseFusion reads it
	Examples  []string     `json:"examples,omitempty"`
	// GreatestLabel is the greatest label of judgments that are numbers; 0 where they
	// are of ESCI, or there are none.
	GreatestLabel float64  `json:"greatest_label,omitempty"`
	Notes         []string `json:"notes,omitempty"`
}

// SystemInfo describes one ranking.
type SystemInfo struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"` // "lexical", "dense" or "fused"
	Detail string `json:"detail"`
}

// Info describes the engine.
func (e *Engine) Info() Info {
	c := e.config
	info := Info{Catalogue: c.Name, Products: c.Products.Len(), GreatestLabel: c.GreatestLabel, Examples: slices.Clone(c.Examples), Notes: slices.Clone(c.Notes)}
	for _, s := range c.Systems {
		info.Systems = append(info.Systems, SystemInfo{s.Name, s.Kind, s.Detail})
	}
	if c.Fusion != nil {
		info.Fusion = c.Fusion.String()
		info.Systems = append(info.Systems, SystemInfo{Hybrid, "fused", info.Fusion})
	}
	return info
}

package engine

import (
	"context"
	"fmt"
)

// List is one ranking of a query without the products' texts: what an offline
// evaluation needs.
type List struct {
	System string // a fusion's text for fusions that were asked for
	Hits   []Place
}

// Place is a product in a List.
type Place struct {
	ID    string
	Score float64
}

// Lists ranks the whole catalogue for a query as Compare does, by all systems of
// the engine, Hybrid last if there is one, and then by each further fusion. The
// systems run once, however many fusions there are. A system that fails is an
// error: for an evaluation it is not the same as one that finds nothing.
func (e *Engine) Lists(ctx context.Context, text string, fusions []*Fusion) (out []List, err error) {
	defer e.guard(&err)()
	r := Request{Query: text}
	if err := r.check(); err != nil {
		return nil, err
	}
	need := map[string]bool{}
	for _, name := range e.names() {
		need[name] = true
	}
	q := Query{Text: r.Query}
	answers := e.rank(ctx, q, need, nil) // each query once: nothing to keep
	if err := ctx.Err(); err != nil {    // and not that some ranking was late
		return nil, err
	}
	ranked := make([][]Scored, len(answers))
	for i, a := range answers {
		if a.err != nil {
			return nil, fmt.Errorf("query %.80q: %w", text, a.err)
		}
		ranked[i] = append([]Scored{}, a.ranked.Hits...) // not nil: it was answered
	}
	return e.lists(ctx, q, ranked, fusions, depth)
}

// Pool ranks the products with the given ids among themselves, by the systems and
// fusions of Lists. The list of a system that cannot score a given product, and of
// a fusion with one, is nil.
func (e *Engine) Pool(ctx context.Context, text string, ids []string, fusions []*Fusion) (out []List, err error) {
	defer e.guard(&err)()
	r := Request{Query: text}
	if err := r.check(); err != nil {
		return nil, err
	}
	rows := make([]uint32, len(ids))
	for i, id := range ids {
		row, ok := e.config.Products.Row(id)
		if !ok {
			return nil, fmt.Errorf("%w product %.40q", ErrUnknown, id)
		}
		rows[i] = row
	}
	q := Query{Text: r.Query}
	ranked := make([][]Scored, len(e.config.Systems))
	scores := make([]float64, len(ids))
	for i, s := range e.config.Systems {
		scorer, ok := s.Ranker.(Scorer)
		if !ok {
			continue
		}
		if err := scorer.Scores(ctx, q, rows, scores); err != nil {
			return nil, fmt.Errorf("cannot score products by %s: %w", s.Name, err)
		}
		ranked[i] = make([]Scored, 0, len(rows))
		for j, row := range rows {
			ranked[i] = append(ranked[i], Scored{Row: row, Score: scores[j]})
		}
		e.order(ranked[i])
	}
	return e.lists(ctx, q, ranked, fusions, len(ids))
}

// lists names the systems' rankings and adds the fused ones, k deep.
func (e *Engine) lists(ctx context.Context, q Query, ranked [][]Scored, fusions []*Fusion, k int) (out []List, err error) {
	components := map[string]component{}
	for i, s := range e.config.Systems {
		if ranked[i] == nil {
			out = append(out, List{System: s.Name})
			continue
		}
		places := make([]Place, len(ranked[i]))
		for j, h := range ranked[i] {
			places[j] = Place{e.config.Products.ID(h.Row), h.Score}
		}
		out = append(out, List{s.Name, places})
		c := e.component(ctx, q, s.Name, ranked[i])
		c.score = remembered(c.score)
		components[s.Name] = c
	}
	fuse := func(name string, f *Fusion) error {
		if err := e.checkFusion(f); err != nil {
			return err
		}
		var parts []component
		for _, s := range f.systems() {
			if _, ok := components[s]; !ok {
				out = append(out, List{System: name})
				return nil
			}
			parts = append(parts, components[s])
		}
		all, err := e.fuse(f, parts)
		if err != nil {
			return err
		}
		all = all[:min(k, len(all))]
		places := make([]Place, len(all))
		for j, h := range all {
			places[j] = Place{e.config.Products.ID(h.Row), h.Score}
		}
		out = append(out, List{name, places})
		return nil
	}
	if e.config.Fusion != nil {
		if err := fuse(Hybrid, e.config.Fusion); err != nil {
			return nil, err
		}
	}
	for _, f := range fusions {
		if err := fuse(f.String(), f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// remembered asks score for each row once: many fusions want the scores of the
// same products.
func remembered(score func(rows []uint32, dst []float64) error) func(rows []uint32, dst []float64) error {
	if score == nil {
		return nil
	}
	known := map[uint32]float64{}
	return func(rows []uint32, dst []float64) error {
		var fresh []uint32
		for _, row := range rows {
			if _, ok := known[row]; !ok {
				fresh = append(fresh, row)
			}
		}
		if len(fresh) > 0 {
			scores := make([]float64, len(fresh))
			if err := score(fresh, scores); err != nil {
				return err
			}
			for i, row := range fresh {
				known[row] = scores[i]
			}
		}
		for i, row := range rows {
			dst[i] = known[row]
		}
		return nil
	}
}

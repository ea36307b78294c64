package eval

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/trirank/trirank/judgments"
)

// queries shows queries in full.
func (e *evaluation) queries(context.Context) error {
	t, runs := e.deciding()
	b, c := slices.Index(e.systems, e.report.Baseline), slices.Index(e.systems, e.report.Candidate)
	relevant, err := e.options.relevant(e.Qrels.Scale)
	if err != nil {
		return err
	}
	type place struct {
		at         int
		difference float64
	}
	var order []place
	value := func(q, system int) float64 {
		if t == nil {
			return math.NaN()
		}
		return t.at(q, system, 0)
	}
	alike := make([]float64, len(e.unseen.Queries))
	for q := range e.unseen.Queries {
		d := math.NaN()
		if b >= 0 {
			d = value(q, c) - value(q, b)
			if t == nil {
				id := e.unseen.Queries[q].ID
				if alike[q] = RBO(productsOf(runs[b].Hits[id]), productsOf(runs[c].Hits[id]), .9); math.IsNaN(alike[q]) {
					alike[q] = 1 // neither found anything
				}
			}
		}
		order = append(order, place{q, d})
	}
	if t == nil { // the most different first
		slices.SortStableFunc(order, func(x, y place) int { return cmp.Compare(alike[x.at], alike[y.at]) })
	}
	// Largest gain first; queries without a value last, in order of id.
	slices.SortStableFunc(order, func(x, y place) int {
		switch {
		case math.IsNaN(x.difference) != math.IsNaN(y.difference):
			if math.IsNaN(x.difference) {
				return 1
			}
			return -1
		case math.IsNaN(x.difference):
			return 0
		}
		return cmp.Compare(y.difference, x.difference)
	})
	if n := e.options.Shown; len(order) > n {
		e.report.Omitted = len(order) - n
		valued := slices.IndexFunc(order, func(p place) bool { return math.IsNaN(p.difference) })
		if valued < 0 {
			valued = len(order)
		}
		if valued > n { // those without a value must not take the place of losses
			order = append(slices.Clone(order[:(n+1)/2]), order[valued-n/2:valued]...)
		} else {
			order = order[:n]
		}
	}
	titles := map[string]string{}
	for _, p := range order {
		q := &e.unseen.Queries[p.at]
		out := QueryReport{ID: q.ID, Text: cmp.Or(q.Text, q.ID), Split: q.Split, Judged: len(q.Products), Difference: Number(p.difference)}
		for _, l := range q.Levels {
			if relevant[l] {
				out.Relevant++
			}
		}
		for s, run := range runs {
			result := QueryResult{Value: Number(value(p.at, s)), Hits: []HitReport{}}
			for _, h := range cut(run.Hits[q.ID], e.options.Depth) {
				hit := HitReport{Product: h.Product, Score: h.Score, Title: e.title(titles, h.Product)}
				if l := q.Level(h.Product); l != judgments.NoLevel {
					hit.Label = string(e.Qrels.Scale.Levels[l].Label)
				}
				result.Hits = append(result.Hits, hit)
			}
			out.Systems = append(out.Systems, result)
		}
		e.report.Queries = append(e.report.Queries, out)
	}
	return nil
}

func (e *evaluation) title(known map[string]string, id string) string {
	if e.Product == nil {
		return ""
	}
	title, ok := known[id]
	if !ok {
		p, _ := e.Product(id)
		title = p.Title
		known[id] = title
	}
	return title
}

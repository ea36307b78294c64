package eval

import (
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/judgments"
)

// WriteUnjudged writes the products that nobody judged among the first ten hits of
// any system, as a table to judge and to give back: the queries where most is
// missing first, and of a query what systems rank highest.
func WriteUnjudged(w io.Writer, in Input) error {
	type missing struct {
		product string
		rank    int
		systems []string
	}
	type gaps struct {
		query *judgments.Query
		list  []*missing
	}
	var all []gaps
	for i := range in.Qrels.Queries {
		q := &in.Qrels.Queries[i]
		found := map[string]*missing{}
		for _, run := range in.Full {
			for rank, h := range cut(run.Hits[q.ID], movedK) {
				if q.Level(h.Product) != judgments.NoLevel {
					continue
				}
				m := found[h.Product]
				if m == nil {
					m = &missing{product: h.Product, rank: rank + 1}
					found[h.Product] = m
				}
				m.rank = min(m.rank, rank+1)
				m.systems = append(m.systems, run.System)
			}
		}
		g := gaps{query: q}
		for _, m := range found {
			g.list = append(g.list, m)
		}
		slices.SortFunc(g.list, func(a, b *missing) int {
			return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.product, b.product))
		})
		all = append(all, g)
	}
	slices.SortStableFunc(all, func(a, b gaps) int { return cmp.Compare(len(b.list), len(a.list)) })
	out := csv.NewWriter(w)
	if err := out.Write([]string{"query_id", "query", "product_id", "label", "title", "best_rank", "systems"}); err != nil {
		return err
	}
	for _, g := range all {
		for _, m := range g.list {
			title := ""
			if in.Product != nil {
				p, _ := in.Product(m.product)
				title = p.Title
			}
			if err := out.Write([]string{g.query.ID, g.query.Text, m.product, "", title, strconv.Itoa(m.rank), strings.Join(m.systems, " ")}); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

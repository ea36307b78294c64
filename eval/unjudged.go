package eval

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/catalog"
	tables "github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/judgments"
)

// WriteUnjudged writes the products that nobody judged among the first ten hits of
// any system, as a table to judge in a spreadsheet and to give back by its column label:
// the queries where most is missing first, and of a query what systems rank highest.
func WriteUnjudged(w io.Writer, in Input) error {
	type missing struct {
		product string
		rank    int
		ranks   []string // "bm25:3"
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
				m.ranks = append(m.ranks, fmt.Sprintf("%s:%d", run.System, rank+1))
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
	out := tables.NewSpreadsheet(w, tables.Dialect{Comma: ','})
	if err := out.Write("query_id", "query", "product_id", "label", "split", "title", "brand", "image", "best_rank", "ranks"); err != nil {
		return err
	}
	for _, g := range all {
		for _, m := range g.list {
			var p catalog.Product
			if in.Product != nil {
				p, _ = in.Product(m.product)
			}
			if err := out.Write(tables.Guard(g.query.ID), tables.Guard(g.query.Text), tables.Guard(m.product), "", tables.Guard(g.query.Split), tables.Guard(p.Title), tables.Guard(p.Brand), tables.Guard(p.Image), strconv.Itoa(m.rank), tables.Guard(strings.Join(m.ranks, " "))); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

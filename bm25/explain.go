package bm25

import (
	"context"
	"fmt"
)

// Explanation is a tree of values: each node's value follows from its
// children's as Text says.
type Explanation struct {
	Value    float64
	Text     string
	Children []*Explanation
}

// Explain says how the Okapi BM25 score of a row for a query comes about, by
// field and term. Its value is the one that Scores gives.
func (ix *Index) Explain(ctx context.Context, query string, row uint32) (e *Explanation, err error) {
	err = ix.use("explain a score of", func() error {
		if int(row) >= ix.header.Rows {
			return fmt.Errorf("row %d is beyond the last of %d", row, ix.header.Rows)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		cursors, err := ix.openCursors(ctx, query, nil)
		if err != nil {
			return err
		}
		doc := ix.table.docs[row]
		fields := make([]*Explanation, len(ix.header.Options.Fields))
		e = &Explanation{Text: "Okapi BM25: sum over fields"}
		for i := range cursors {
			c := &cursors[i]
			if err := c.advance(doc); err != nil {
				return err
			}
			if c.doc != doc {
				continue
			}
			if fields[c.field] == nil {
				field := ix.header.Options.Fields[c.field]
				fields[c.field] = &Explanation{Text: fmt.Sprintf("field %s: sum over terms", field.Name)}
				e.Children = append(e.Children, fields[c.field])
			}
			term := ix.explainTerm(c)
			fields[c.field].Children = append(fields[c.field].Children, term)
			fields[c.field].Value += term.Value
			e.Value += term.Value // in the order in which Search adds
		}
		if len(e.Children) == 0 {
			e.Text = "Okapi BM25: no term of the query occurs"
		}
		return closeCursors(cursors)
	})
	return e, err
}

// explainTerm explains the score of a cursor's term for the document it is at.
func (ix *Index) explainTerm(c *cursor) *Explanation {
	o := ix.header.Options
	k1, b := or0(o.K1), or0(o.B)
	length := float64(c.lengths[c.doc])
	average := float64(ix.header.Totals[c.field]) / float64(ix.header.Rows)
	return &Explanation{
		Value: c.score(),
		Text:  fmt.Sprintf("term %q: boost * qtf * idf * saturation", c.term.text),
		Children: []*Explanation{
			{Value: o.Fields[c.field].Boost, Text: "boost of the field"},
			{Value: float64(c.term.count), Text: "qtf: times in the query"},
			{Value: c.idf, Text: "idf: ln(1 + (N - df + 0.5) / (df + 0.5))", Children: []*Explanation{
				{Value: float64(ix.header.Rows), Text: "N: products"},
				{Value: float64(c.df), Text: "df: products with the term in the field"},
			}},
			{
				Value: c.tf * (k1 + 1) / (c.tf + k1*(1-b+b*length/average)),
				Text:  fmt.Sprintf("saturation: tf * (k1 + 1) / (tf + k1 * (1 - b + b * len / avglen)), k1 = %v, b = %v", k1, b),
				Children: []*Explanation{
					{Value: c.tf, Text: "tf: times in the field"},
					{Value: length, Text: "len: terms in the field"},
					{Value: average, Text: "avglen: terms in the field of an average product"},
				},
			},
		},
	}
}

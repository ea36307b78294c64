package catalog

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/trirank/trirank/internal/textfile"
	"github.com/trirank/trirank/judgments"
)

// maxStored is the longest product, in bytes of JSON, that a catalogue holds.
const maxStored = 1 << 26

// Products yields the products in row order. It stops after the first error;
// one of them is that the number of products is not Rows.
func (c *Catalog) Products() iter.Seq2[Product, error] {
	return func(yield func(Product, error) bool) {
		fail := func(err error) {
			yield(Product{}, fmt.Errorf("cannot read catalogue %s: %s: %w", c.where, productsFile, err))
		}
		f, err := c.open(productsFile)
		if err != nil {
			fail(err)
			return
		}
		defer f.Close()
		lines := textfile.NewLines(f, maxStored)
		for rows := 0; ; rows++ {
			line, err := lines.Next()
			if err == io.EOF {
				if rows != c.rows {
					fail(fmt.Errorf("%d products instead of %d (remove it and import again)", rows, c.rows))
				}
				return
			}
			var p Product
			if err == nil {
				err = json.Unmarshal(line, &p)
			}
			if err != nil {
				fail(fmt.Errorf("line %d: %w", rows+1, err))
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// Judgments yields the judgements in the order of the source. It stops after the
// first error.
func (c *Catalog) Judgments() iter.Seq2[judgments.Judgment, error] {
	return func(yield func(judgments.Judgment, error) bool) {
		fail := func(err error) {
			yield(judgments.Judgment{}, fmt.Errorf("cannot read catalogue %s: %s: %w", c.where, judgmentsFile, err))
		}
		f, err := c.open(judgmentsFile)
		if err != nil {
			fail(err)
			return
		}
		defer f.Close()
		rows := 0
		for j, err := range judgments.ReadTable(f, judgmentsFile) {
			if err != nil {
				fail(fmt.Errorf("%w (remove it and import again)", err))
				return
			}
			rows++
			if !yield(j, nil) {
				return
			}
		}
		if rows != c.judgments {
			fail(fmt.Errorf("%d judgements instead of %d (remove it and import again)", rows, c.judgments))
		}
	}
}

// JudgmentSet puts the judgements together.
func (c *Catalog) JudgmentSet() (*judgments.Set, error) {
	s, _, err := judgments.NewSet(judgments.Of(c.Judgments()), judgments.Options{})
	return s, err
}

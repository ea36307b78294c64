package catalog

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
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
					fail(fmt.Errorf("%d products instead of %d (import again)", rows, c.rows))
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
func (c *Catalog) Judgments() iter.Seq2[Judgment, error] {
	return func(yield func(Judgment, error) bool) {
		rows := 0
		for j, err := range c.readJudgments() {
			if err != nil {
				yield(Judgment{}, fmt.Errorf("cannot read catalogue %s: %s: %w", c.where, judgmentsFile, err))
				return
			}
			rows++
			if !yield(j, nil) {
				return
			}
		}
		if rows != c.judgments {
			yield(Judgment{}, fmt.Errorf("cannot read catalogue %s: %s: %d judgements instead of %d (import again)",
				c.where, judgmentsFile, rows, c.judgments))
		}
	}
}

func (c *Catalog) readJudgments() iter.Seq2[Judgment, error] {
	return func(yield func(Judgment, error) bool) {
		f, err := c.open(judgmentsFile)
		if err != nil {
			yield(Judgment{}, err)
			return
		}
		defer f.Close()
		t, err := textfile.New(f)
		if err != nil {
			yield(Judgment{}, err)
			return
		}
		table, err := table.New(t, table.Options{Comma: ',', Quotes: table.QuotesDouble, Max: maxStored})
		if err != nil {
			yield(Judgment{}, err)
			return
		}
		var columns [5]int
		for i, name := range judgmentColumns {
			if columns[i] = table.Column(name); columns[i] < 0 {
				yield(Judgment{}, fmt.Errorf("column %s is missing (import again)", name))
				return
			}
		}
		for {
			record, err := table.Next()
			if err == io.EOF {
				return
			}
			var j Judgment
			if err == nil {
				j = Judgment{
					QueryID: strings.Clone(record[columns[0]]), Query: strings.Clone(record[columns[1]]),
					ProductID: strings.Clone(record[columns[2]]), Split: strings.Clone(record[columns[4]]),
				}
				if j.Label, err = ParseLabel(record[columns[3]]); err != nil {
					err = fmt.Errorf("line %d: %w", table.Line(), err)
				}
			}
			if !yield(j, err) || err != nil {
				return
			}
		}
	}
}

// judgmentColumns is the header of judgments.csv.
var judgmentColumns = [5]string{"query_id", "query", "product_id", "esci_label", "split"}

package judgments

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trirank/trirank/internal/trec"
)

// Columns are the columns of the table that a Writer writes.
var Columns = []string{"query_id", "query", "product_id", "label", "split", "judge", "time"}

// Writer writes judgments as the table that catalogues and indexes keep, which
// every reader of judgments reads.
type Writer struct {
	out *csv.Writer
	row [7]string
}

// NewWriter writes the names of the columns.
func NewWriter(w io.Writer) *Writer {
	t := &Writer{out: csv.NewWriter(w)}
	t.out.Write(Columns) // an error stays until Flush
	return t
}

// Write writes a judgment.
func (t *Writer) Write(j *Judgment) error {
	when := ""
	if !j.Time.IsZero() {
		when = j.Time.UTC().Format(time.RFC3339)
	}
	t.row = [7]string{j.QueryID, j.Query, j.Product, string(j.Label), j.Split, j.Judge, when}
	return t.out.Write(t.row[:])
}

// Flush writes out what is buffered.
func (t *Writer) Flush() error {
	t.out.Flush()
	return t.out.Error()
}

// WriteQrels writes judgments as qrels of TREC: query id, 0, product id and the
// whole number that s.Scale.Integers gives to the label, -1 for what is pooled and
// not judged, in order of the ids.
func WriteQrels(w io.Writer, s *Set) error {
	out := bufio.NewWriter(w)
	integers := s.Scale.Integers()
	for i := range s.Queries {
		q := &s.Queries[i]
		err := trec.Writable("query", q.ID)
		line := func(product string, label int) {
			if err == nil {
				err = trec.Writable("product", product)
			}
			if err == nil {
				_, err = fmt.Fprintf(out, "%s 0 %s %d\n", q.ID, product, label)
			}
		}
		for k, product := range q.Products {
			line(product, integers[q.Levels[k]])
		}
		for _, product := range q.Pooled {
			line(product, -1)
		}
		if err != nil {
			return fmt.Errorf("cannot write judgements: query %.80q: %w", q.ID, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write judgements: %w", err)
	}
	return nil
}

// WriteQueries writes the texts of queries: id, tab and text a line.
func WriteQueries(w io.Writer, s *Set) error {
	out := bufio.NewWriter(w)
	for i := range s.Queries {
		q := &s.Queries[i]
		err := trec.Writable("query", q.ID)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\t%s\n", q.ID, strings.ReplaceAll(q.Text, "\t", " "))
		}
		if err != nil {
			return fmt.Errorf("cannot write queries: query %.80q: %w", q.ID, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write queries: %w", err)
	}
	return nil
}

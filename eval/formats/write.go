package formats

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/trirank/trirank/eval"
)

// WriteQrels writes judgements as qrels of TREC: query id, 0, product id and the
// whole number that q.Scale.Integer gives to the label, in order of the ids.
func WriteQrels(w io.Writer, q *eval.Qrels) error {
	out := bufio.NewWriter(w)
	for i := range q.Queries {
		query := &q.Queries[i]
		err := writable("query", query.ID)
		for k, product := range query.Products {
			if err == nil {
				err = writable("product", product)
			}
			if err != nil {
				break
			}
			_, err = fmt.Fprintf(out, "%s 0 %s %d\n", query.ID, product, q.Scale.Integer(int(query.Levels[k])))
		}
		if err != nil {
			return fmt.Errorf("cannot write judgements: query %.80q: %w", query.ID, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write judgements: %w", err)
	}
	return nil
}

// WriteQueries writes the texts of queries: id, tab and text a line. Tabs and line
// ends in texts become spaces.
func WriteQueries(w io.Writer, q *eval.Qrels) error {
	out := bufio.NewWriter(w)
	for i := range q.Queries {
		query := &q.Queries[i]
		err := writable("query", query.ID)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\t%s\n", query.ID, oneLine.Replace(query.Text))
		}
		if err != nil {
			return fmt.Errorf("cannot write queries: query %.80q: %w", query.ID, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write queries: %w", err)
	}
	return nil
}

var oneLine = strings.NewReplacer("\r\n", " ", "\t", " ", "\n", " ", "\r", " ")

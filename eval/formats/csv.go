package formats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// The names of columns, as plain spells them, best first.
var (
	queryNames   = []string{"query", "querytext", "searchterm"}
	queryIDNames = []string{"queryid", "qid"}
	productNames = []string{"productid", "docid", "documentid", "corpusid", "asin", "productuid", "itemid", "sku"}
	labelNames   = []string{"escilabel", "label", "relevancelabel", "rating", "relevance", "grade", "judgment", "judgement", "score"}
	splitNames   = []string{"split"}
)

// errNoHeader is met where the first line of a table is a judgement already.
var errNoHeader = errors.New("the first line must name the columns: put the line query,product_id,label before it, parted as the others are")

// plain leaves of a name what spellings have in common: "Query ID", query_id and
// query-id are queryid.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(" _-", c) {
			return -1
		}
		return c
	}, strings.ToLower(name))
}

// columns are the places of columns in a table; -1 is not there.
type columns struct{ query, queryID, product, label, split int }

func findColumns(header []string) columns {
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = plain(h)
	}
	find := func(wanted []string) int {
		for _, name := range wanted {
			if i := slices.Index(names, name); i >= 0 {
				return i
			}
		}
		return -1
	}
	return columns{find(queryNames), find(queryIDNames), find(productNames), find(labelNames), find(splitNames)}
}

// missing lists the columns that judgements need and c lacks.
func (c columns) missing() string {
	var names []string
	if c.query < 0 && c.queryID < 0 {
		names = append(names, "query")
	}
	if c.product < 0 {
		names = append(names, "product_id")
	}
	if c.label < 0 {
		names = append(names, "label")
	}
	return strings.Join(names, ", ")
}

// judgment returns the judgement of a record. It keeps no part of the record.
func (c columns) judgment(record []string) eval.Judgment {
	return eval.Judgment{
		QueryID: field(record, c.queryID), Query: field(record, c.query),
		Product: field(record, c.product), Label: field(record, c.label), Split: field(record, c.split),
	}
}

// field returns a copy of a field of a record, "" if there is none.
func field(record []string, column int) string {
	if column < 0 || column >= len(record) {
		return ""
	}
	return strings.Clone(strings.TrimSpace(record[column]))
}

// csv yields the judgements of a table.
func (r *reader) csv(f *textfile.File) error { return r.table(f, "") }

// table yields the judgements of a table, of split where no column tells.
func (r *reader) table(f *textfile.File, split string) error {
	t, err := table.New(f, table.Options{Comma: r.comma, Max: maxRow, Known: isKnown})
	if err != nil {
		return r.broken(err)
	}
	c := findColumns(t.Header)
	if missing := c.missing(); missing != "" {
		if isRow(t.Header) {
			return r.broken(errNoHeader)
		}
		return r.broken(fmt.Errorf("there is no column %s, only %.200s (name the columns query, product_id and label)",
			missing, strings.Join(t.Header, ", ")))
	}
	for {
		record, err := t.Next()
		if err == io.EOF {
			return nil
		}
		r.line = t.Line()
		var bad *table.Error
		switch {
		case errors.As(err, &bad):
			err = r.fault(faults.Malformed, "%s", bad.Reason)
		case err != nil:
			return r.broken(err)
		default:
			j := c.judgment(record)
			if c.split < 0 {
				j.Split = split
			}
			err = r.emit(j)
		}
		if err != nil {
			return err
		}
	}
}

// firstLine returns the first line that is not empty.
func firstLine(start []byte) []byte {
	line, _, _ := bytes.Cut(bytes.TrimLeft(start, "\r\n "), []byte("\n"))
	return line
}

// isKnown reports whether the columns of a header are those of judgements.
func isKnown(header []string) bool { return findColumns(header).missing() == "" || isQuepid(header) }

// splitHeader returns the fields of the first line of a table.
func splitHeader(line []byte, comma rune) []string { return table.Split(line, comma, isKnown) }

// isRow reports whether fields look like a judgement rather than like a header.
func isRow(fields []string) bool { return len(fields) >= 3 && isLabel(fields[len(fields)-1]) }

package judgments

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// The names of columns, folded (table.Fold), best first.
var (
	queryNames   = []string{"query", "querytext", "searchterm"}
	queryIDNames = []string{"queryid", "qid"}
	productNames = []string{"productid", "docid", "documentid", "corpusid", "asin", "productuid", "itemid", "sku"}
	labelNames   = []string{"escilabel", "label", "relevancelabel", "relevance", "grade", "judgment", "judgement", "rating", "score"}
	splitNames   = []string{"split"}
	judgeNames   = []string{"judge", "rater", "annotator", "assessor", "useremail"}
	timeNames    = []string{"time", "judgedat", "timestamp"}
)

// errNoHeader is met where the first line of a table is a judgement already.
var errNoHeader = errors.New("the first line must name the columns: put the line query,product_id,label before it, parted as the others are")

// columns are the places of columns in a table; -1 is not there.
type columns struct{ query, queryID, product, label, split, judge, time int }

// FieldNames are the fields of a judgment that ReadOptions.Fields may name.
var FieldNames = []string{"query", "query_id", "product", "label", "split", "judge"}

// findColumns finds the columns of a header by the names that own gives or, where there
// are none of these, by their usual names.
func findColumns(header []string, own map[string]string) columns {
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = table.Fold(h)
	}
	find := func(field string, wanted []string) int {
		if name, ok := own[field]; ok {
			if i := slices.Index(header, name); i >= 0 {
				return i
			}
			wanted = append([]string{table.Fold(name)}, wanted...)
		}
		for _, name := range wanted {
			if i := slices.Index(names, name); i >= 0 {
				return i
			}
		}
		return -1
	}
	return columns{
		find("query", queryNames), find("query_id", queryIDNames), find("product", productNames), find("label", labelNames),
		find("split", splitNames), find("judge", judgeNames), find("time", timeNames),
	}
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
func (c columns) judgment(record []string) Judgment {
	return Judgment{
		QueryID: field(record, c.queryID), Query: field(record, c.query),
		Product: field(record, c.product), Split: field(record, c.split), Judge: field(record, c.judge), Time: moment(field(record, c.time)),
	}
}

// moment reads a time; what cannot be read is no time, which nothing depends on.
func moment(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
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
	t, err := table.New(f, table.Options{Comma: r.comma, Quotes: r.o.Quotes, Max: maxRow, Known: r.isKnown})
	if err != nil {
		return r.broken(err)
	}
	c := findColumns(t.Header, r.o.Fields)
	if missing := c.missing(); missing != "" {
		if isRow(t.Header) {
			return r.broken(errNoHeader)
		}
		return r.broken(fmt.Errorf("there is no column %s, only %.200s (name the columns query, product_id and label, or say with --field which they are)",
			missing, strings.Join(t.Header, ", ")))
	}
	if err := r.oneLabel(t.Header, c.label); err != nil {
		return r.broken(err)
	}
	r.say(t.Header, c)
	return r.each(t, func(record []string) error {
		j := c.judgment(record)
		if c.split < 0 {
			j.Split = split
		}
		return r.emit(j, field(record, c.label))
	})
}

// oneLabel refuses a header of which several columns could be the label, unless
// ReadOptions.Fields says which: a product's rating is no judgement.
func (r *reader) oneLabel(header []string, chosen int) error {
	if _, ok := r.o.Fields["label"]; ok {
		return nil
	}
	for i, h := range header {
		if i != chosen && slices.Contains(labelNames, table.Fold(h)) {
			return fmt.Errorf("the columns %s and %s could both be the label: say which with --field label=%s", header[chosen], h, header[chosen])
		}
	}
	return nil
}

// say remembers which columns the judgements of the file at hand come from.
func (r *reader) say(header []string, c columns) {
	var parts []string
	for _, f := range []struct {
		name string
		at   int
	}{{"query", c.query}, {"query_id", c.queryID}, {"product", c.product}, {"label", c.label}, {"split", c.split}, {"judge", c.judge}} {
		if f.at >= 0 {
			parts = append(parts, f.name+" <- "+header[f.at])
		}
	}
	r.said[r.file] = strings.Join(parts, ", ")
}

// each calls do for the records of a table; one that cannot be read is a fault.
func (r *reader) each(t *table.Reader, do func(record []string) error) error {
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
			err = do(record)
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

// splitHeader returns the fields of the first line of a table.
func (r *reader) splitHeader(line []byte) []string { return table.Split(line, r.comma, r.isKnown) }

// isKnown reports whether the columns of a header are those of judgements.
func (r *reader) isKnown(header []string) bool {
	return findColumns(header, r.o.Fields).missing() == "" || isQuepid(header)
}

// isRow reports whether fields look like a judgement rather than like a header.
func isRow(fields []string) bool { return len(fields) >= 3 && isLabel(fields[len(fields)-1]) }

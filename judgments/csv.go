package judgments

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// The names of columns, as plain spells them, best first.
var (
	queryNames   = []string{"query", "querytext", "searchterm"}
	queryIDNames = []string{"queryid", "qid"}
	productNames = []string{"productid", "docid", "documentid", "corpusid", "asin", "productuid", "itemid", "sku"}
	labelNames   = []string{"escilabel", "label", "relevancelabel", "rating", "relevance", "grade", "judgment", "judgement", "score"}
	splitNames   = []string{"split"}
	judgeNames   = []string{"judge", "rater", "annotator", "assessor", "useremail"}
	timeNames    = []string{"time", "judgedat", "timestamp"}
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
type columns struct{ query, queryID, product, label, split, judge, time int }

// fields are what ReadOptions.Fields may name.
var fields = []string{"query", "query_id", "product", "label", "split", "judge"}

// findColumns finds the columns of a header by their usual names, or by those that
// own gives.
func findColumns(header []string, own map[string]string) columns {
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = plain(h)
	}
	find := func(field string, wanted []string) int {
		if name, ok := own[field]; ok {
			if i := slices.Index(header, name); i >= 0 {
				return i
			}
			wanted = []string{plain(name)}
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
	return r.records(f, func(c columns, record []string) error {
		j := c.judgment(record)
		if c.split < 0 {
			j.Split = split
		}
		return r.emit(j, field(record, c.label))
	}, func(err error) error { return r.fault(faults.Malformed, "%v", err) }, columns.missing)
}

// records calls each for the records of a table, with what its columns are, and
// faulty for those that cannot be read. missing names the columns that are needed and
// are not there.
func (r *reader) records(f *textfile.File, each func(c columns, record []string) error, faulty func(error) error, missing func(columns) string) error {
	comma := r.comma
	if comma == 0 {
		comma = guessComma(firstLine(f.Peek()))
	}
	t, err := textfile.NewCSV(f, comma, maxRow)
	if err != nil {
		return r.broken(err)
	}
	c := findColumns(t.Header, r.o.Fields)
	if names := missing(c); names != "" {
		if isRow(t.Header) {
			return r.broken(errNoHeader)
		}
		return r.broken(fmt.Errorf("there is no column %s, only %.200s (name the columns query, product_id and label, or say with --field which they are)",
			names, strings.Join(t.Header, ", ")))
	}
	for {
		record, err := t.Next()
		if err == io.EOF {
			return nil
		}
		r.line = t.Line()
		var bad *csv.ParseError
		switch {
		case errors.As(err, &bad):
			err = faulty(bad.Err)
		case err != nil:
			return r.broken(err)
		default:
			err = each(c, record)
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

// guessComma returns what parts a header into columns that are known or, if
// nothing does, what there is most of.
func guessComma(header []byte) rune {
	best, most := ',', -1
	for _, comma := range ",\t;|" {
		n := bytes.Count(header, []byte(string(comma)))
		if fields := splitHeader(header, comma); findColumns(fields, nil).missing() == "" || isQuepid(fields) {
			n = len(header) + 1
		}
		if n > most {
			best, most = comma, n
		}
	}
	return best
}

// splitHeader returns the fields of the first line of a table.
func splitHeader(line []byte, comma rune) []string {
	if comma == 0 {
		comma = guessComma(line)
	}
	c := csv.NewReader(bytes.NewReader(line))
	c.Comma, c.LazyQuotes = comma, true
	fields, _ := c.Read()
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields
}

// isRow reports whether fields look like a judgement rather than like a header.
func isRow(fields []string) bool { return len(fields) >= 3 && isLabel(fields[len(fields)-1]) }

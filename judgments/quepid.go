package judgments

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// quepid yields the judgements of an export of Quepid.
func (r *reader) quepid(f *textfile.File) error {
	if start := bytes.TrimSpace(f.Peek()); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		d := r.document(f)
		return d.all(d.quepidExport)
	}
	return r.quepidTable(f)
}

// quepidExport reads a case or a book.
func (d *document) quepidExport() error {
	implicit := false
	return d.walk("an export of Quepid", func(name string) error {
		switch name {
		case "queries":
			query := func() error { return d.ratedQuery(d.skipField, nil) }
			return d.walk(name, func(string) error { return query() }, query)
		case "support_implicit_judgements":
			s, _, err := d.text()
			implicit = s == "true"
			return err
		case "query_doc_pairs":
			return d.walk(name, nil, func() error { return d.quepidPair(implicit) })
		}
		return d.skip()
	}, nil)
}

// quepidPair reads a query and a product with what each judge of a book says.
func (d *document) quepidPair(implicit bool) error {
	var j Judgment
	var ratings []string
	line := d.line
	err := d.walk("a pair of query and document", func(name string) (err error) {
		switch table.Fold(name) {
		case "query", "querytext":
			j.Query, _, err = d.text()
			line = d.line
		case "docid":
			j.Product, _, err = d.text()
		case "judgements", "judgments":
			err = d.walk(name, nil, func() error {
				rating, unrateable := "", ""
				err := d.walk("a judgement", func(name string) (err error) {
					switch name {
					case "rating":
						rating, _, err = d.label()
					case "unrateable":
						unrateable, _, err = d.text()
					default:
						err = d.skip()
					}
					return err
				}, nil)
				if unrateable != "true" {
					ratings = append(ratings, rating)
				}
				return err
			})
		default:
			err = d.skip()
		}
		return err
	}, nil)
	if err != nil {
		return err
	}
	here := d.line
	d.line = line
	err = d.quepidRatings(j, ratings, implicit)
	d.line = here
	return err
}

// quepidTable yields the judgements of a table. Tables of Quepid are not quite
// CSV: a query without ratings is a row of one field, and quotes may stand in
// fields that are not quoted.
func (r *reader) quepidTable(f *textfile.File) error {
	t, err := table.New(f, table.Options{Comma: r.comma, Max: maxRow, Known: r.isKnown, Lax: true, Short: true})
	if err != nil {
		return r.broken(fmt.Errorf("the first line must name the columns: %w", err))
	}
	if !isQuepid(t.Header) {
		return r.broken(fmt.Errorf("there are no columns query, docid and rating, only %.200s", strings.Join(t.Header, ", ")))
	}
	c := findColumns(t.Header, nil)
	r.say(t.Header, c)
	return r.each(t, func(record []string) error {
		if c.label >= 0 {
			return r.emit(Judgment{Query: field(record, c.query), Product: field(record, c.product)}, quepidRating(field(record, c.label)))
		}
		return r.quepidRatings(Judgment{Query: field(record, 0), Product: field(record, 1)}, record[min(2, len(record)):], false)
	})
}

// isQuepid reports whether a header is of a table of Quepid: of a case, or of a
// book, where columns are named for judges.
func isQuepid(header []string) bool {
	c := findColumns(header, nil)
	if c.label < 0 {
		return len(header) > 2 && strings.EqualFold(header[0], "query") && strings.EqualFold(header[1], "docid")
	}
	return c.query >= 0 && c.product >= 0 && c.queryID < 0 && c.split < 0 && table.Fold(header[c.product]) == "docid" && table.Fold(header[c.label]) == "rating"
}

// quepidRatings yields the judgement j with the rating that Quepid makes of those
// of several judges. Whole ratings stay whole, unless they are implicit, which is
// to say derived from clicks.
func (r *reader) quepidRatings(j Judgment, ratings []string, implicit bool) error {
	var given []string
	var values []float64
	agreed, whole := true, true
	for _, s := range ratings {
		if s = quepidRating(trim(s)); s == "" {
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return r.fault(faults.BadLabel, "query %.80q, product %.80q: rating %.40q is no number", j.Query, j.Product, s)
		}
		given, values = append(given, s), append(values, v)
		agreed = agreed && s == given[0]
		whole = whole && v == math.Trunc(v)
	}
	switch {
	case len(given) == 0:
		return nil
	case agreed:
		return r.emit(j, strings.Clone(given[0]))
	}
	slices.Sort(values)
	rating := values[max(0, len(values)-3)]
	if len(values) == 2 {
		rating = (values[0] + values[1]) / 2
	}
	if whole && !implicit {
		rating = math.Round(rating)
	}
	return r.emit(j, strconv.FormatFloat(rating, 'g', -1, 64))
}

// quepidRating returns "" for what stands where nothing is rated.
func quepidRating(s string) string {
	switch s {
	case "--", "null", "undefined":
		return ""
	}
	return s
}

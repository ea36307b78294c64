package formats

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// tableRows calls each with the rows of a table of products.
func (r *reader) tableRows(f *textfile.File, each func(cells []cell, err error) bool) bool {
	t, err := r.table(f)
	if err == nil && r.mapping != nil {
		err = r.checkColumns(t.Header)
	}
	if err != nil {
		each(nil, r.broken(err))
		return false
	}
	r.dialect = t.Dialect.String()
	group := -1
	if r.preset != nil && r.preset.group != "" && (r.preset.again == "" || t.Column(r.preset.again) >= 0) {
		group = t.Column(r.preset.group)
	}
	for _, name := range t.Header {
		if r.tally != nil {
			r.tally.leave(name)
		}
	}
	if group >= 0 {
		if id := r.o.Fields["id"]; id != "" && t.Column(id) != group && r.preset.variant != nil {
			return r.variants(t, group, each)
		}
		return r.groups(t, group, each)
	}
	cells := make([]cell, len(t.Header))
	return r.records(t, func(record []string, err error) bool {
		if err != nil {
			return each(nil, err)
		}
		fillCells(cells, t.Header, record)
		return each(cells, nil)
	})
}

func fillCells(cells []cell, header, record []string) {
	for i, text := range record {
		if strings.Contains(text, "\r") {
			text = strings.ReplaceAll(text, "\r\n", "\n")
		}
		cells[i] = cell{name: header[i], text: text}
	}
}

// groups calls each with rows that follow each other and are equal in one column
// as with one row: of each cell the first that is not empty. Shops have a row a
// variant, and the first tells what all have in common.
func (r *reader) groups(t *table.Reader, column int, each func(cells []cell, err error) bool) bool {
	row, group := make([]cell, len(t.Header)), make([]cell, len(t.Header))
	open, line := false, 0
	again := -1
	if r.preset.again != "" {
		again = t.Column(r.preset.again)
	}
	flush := func() bool {
		if !open {
			return true
		}
		open = false
		here := r.line
		r.line = line
		goOn := each(group, nil)
		r.line = here
		return goOn
	}
	goOn := r.records(t, func(record []string, err error) bool {
		if err != nil {
			return each(nil, err)
		}
		fillCells(row, t.Header, record)
		if open && strings.TrimSpace(row[column].text) != "" && row[column].text == group[column].text && (again < 0 || !row[again].empty()) {
			r.tally.merged++
			for i := range group {
				if group[i].empty() {
					group[i] = row[i]
				}
			}
			return true
		}
		if !flush() {
			return false
		}
		copy(group, row)
		open, line = true, r.line
		return true
	})
	return goOn && flush()
}

// variants calls each with the rows of a source where each variant is a product: what
// is empty of what all variants of a product have in common comes from the rows above.
func (r *reader) variants(t *table.Reader, column int, each func(cells []cell, err error) bool) bool {
	own := make([]bool, len(t.Header)) // columns that say what one variant is
	for i, name := range t.Header {
		s, ok := r.mapping.slot(name)
		own[i] = ok && s.target == idTarget || slices.ContainsFunc(r.preset.variant, func(begin string) bool {
			return strings.HasPrefix(table.Fold(name), begin)
		})
	}
	row, common := make([]cell, len(t.Header)), make([]cell, len(t.Header))
	return r.records(t, func(record []string, err error) bool {
		if err != nil {
			return each(nil, err)
		}
		fillCells(row, t.Header, record)
		if strings.TrimSpace(row[column].text) == "" || row[column].text != common[column].text {
			copy(common, row)
			return each(row, nil)
		}
		variant := false
		for i := range row {
			switch {
			case own[i]:
				variant = variant || !row[i].empty()
			case row[i].empty():
				row[i] = common[i]
			case common[i].empty():
				common[i] = row[i]
			}
		}
		if !variant { // a further image of the product
			r.tally.merged++
			return true
		}
		return each(row, nil)
	})
}

// checkColumns reports the columns that products cannot do without and the
// user's own that are not there.
func (r *reader) checkColumns(header []string) error {
	found := map[string]bool{}
	for _, name := range header {
		if s, ok := r.mapping.slot(name); ok {
			found[targets[s.target].name] = true
		}
	}
	for _, field := range []string{"id", "title"} {
		if !found[field] && r.o.Fields[field] == "" {
			// A table of judgements whose columns have names of their own ends here too.
			return fmt.Errorf("no column is known for the field %s, only %s (if it holds products, name the column with --field %s=COLUMN; if judgements, with --field query=COLUMN, --field product=COLUMN and --field label=COLUMN)",
				field, strings.Join(header, ", "), field)
		}
	}
	for field, name := range r.o.Fields {
		if name != "" && !found[field] {
			return fmt.Errorf("no column is called %s (there are %s)", name, strings.Join(header, ", "))
		}
	}
	return nil
}

// newTable reads the header of a table, of products or of judgements.
func newTable(f *textfile.File, o Options) (*table.Reader, error) {
	m, err := newMapping(o.Fields, nil)
	if err != nil {
		return nil, err
	}
	r := &reader{o: o, mapping: m}
	known := func(header []string) bool { return r.checkColumns(header) == nil }
	t, err := table.New(f, table.Options{Comma: o.Comma, Quotes: o.Quotes, Max: maxRow, Known: known})
	if err == nil && slices.ContainsFunc(t.Header, func(name string) bool { return !utf8.ValidString(name) }) {
		return nil, fmt.Errorf(brokenText, "the names of its columns are")
	}
	return t, err
}

// brokenText says what is not valid UTF-8, and what to do.
const brokenText = "%s not valid UTF-8 (convert the file to UTF-8; iconv -f WINDOWS-1252 -t UTF-8 does so, if that is what it is in)"

// table is newTable with the options of r.
func (r *reader) table(f *textfile.File) (*table.Reader, error) { return newTable(f, r.o) }

// records calls each with the records of table; it reports whether to go on with
// the next file.
func (r *reader) records(t *table.Reader, each func(record []string, err error) bool) bool {
	for {
		record, err := t.Next()
		if err == io.EOF {
			return true
		}
		r.line = t.Line()
		var bad *table.Error
		switch {
		case errors.As(err, &bad):
			kind := faults.Malformed
			if errors.Is(err, textfile.ErrTooLong) {
				kind = faults.TooLong
			}
			err = r.fault(kind, "%s", bad.Reason)
		case err != nil:
			each(nil, r.broken(err))
			return false
		default:
			for _, text := range record {
				if !utf8.ValidString(text) {
					err = r.fault(faults.NotUTF8, brokenText, "the line is")
				}
			}
		}
		if !each(record, err) {
			return false
		}
	}
}

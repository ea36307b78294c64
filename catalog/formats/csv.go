package formats

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// csv yields the products of tables.
func (r *reader) csv(yield func(catalog.Product, error) bool) {
	for _, path := range r.files.products {
		r.file, r.line = path, 0
		f, err := textfile.Open(path)
		if err != nil {
			yield(catalog.Product{}, err)
			return
		}
		ok := r.csvProducts(f, yield)
		f.Close()
		if !ok {
			return
		}
	}
}

func (r *reader) csvProducts(f *textfile.File, yield func(catalog.Product, error) bool) bool {
	table, err := r.table(f)
	if err == nil {
		err = r.checkColumns(table.Header)
	}
	if err != nil {
		yield(catalog.Product{}, r.broken(err))
		return false
	}
	cells := make([]cell, len(table.Header))
	return r.records(table, func(record []string, err error) bool {
		var p catalog.Product
		if err == nil {
			for i, text := range record {
				cells[i] = cell{name: table.Header[i], text: strings.Clone(text)}
			}
			var f *faults.Fault
			if p, f = r.mapping.product(cells); f != nil {
				err = r.located(f)
			}
		}
		return yield(p, err)
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
			return fmt.Errorf("no column is known for the field %s, only %s (name it with --field %s=COLUMN)",
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
	return table.New(f, table.Options{Comma: o.Comma, Quotes: o.Quotes, Max: maxRow})
}

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
					err = r.fault(faults.NotUTF8, "the line is not valid UTF-8")
				}
			}
		}
		if !each(record, err) {
			return false
		}
	}
}

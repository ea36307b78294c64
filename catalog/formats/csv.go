package formats

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
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

// table reads the header of a CSV file.
func (r *reader) table(f *textfile.File) (*textfile.CSV, error) {
	comma := r.o.Comma
	if comma == 0 {
		comma = guessComma(f.Peek())
	}
	return textfile.NewCSV(f, comma, maxRow)
}

// guessComma returns what most often could part the fields of the first line.
func guessComma(text []byte) rune {
	first, _, _ := strings.Cut(string(text), "\n")
	best := ','
	for _, c := range "\t;|" {
		if strings.Count(first, string(c)) > strings.Count(first, string(best)) {
			best = c
		}
	}
	return best
}

// records calls each with the records of table; it reports whether to go on with
// the next file.
func (r *reader) records(table *textfile.CSV, each func(record []string, err error) bool) bool {
	for {
		record, err := table.Next()
		if err == io.EOF {
			return true
		}
		r.line = table.Line()
		var bad *csv.ParseError
		switch {
		case errors.As(err, &bad):
			err = r.fault(faults.Malformed, "%v", bad.Err)
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

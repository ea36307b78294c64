package formats

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// jsonl yields the products of files of JSON lines.
func (r *reader) jsonl(yield func(catalog.Product, error) bool) {
	for _, path := range r.files.products {
		ok := r.objects(path, func(cells []cell, err error) bool {
			var p catalog.Product
			if err == nil {
				var f *faults.Fault
				if p, f = r.mapping.product(cells); f != nil {
					err = r.located(f)
				}
			}
			return yield(p, err)
		})
		if !ok {
			return
		}
	}
}

// objects calls each with the fields of each line of the file at path, in the
// order of their names; it reports whether to go on with the next file.
func (r *reader) objects(path string, each func(cells []cell, err error) bool) bool {
	r.file, r.line = path, 0
	f, err := textfile.Open(path)
	if err != nil {
		each(nil, err)
		return false
	}
	defer f.Close()
	return r.eachObject(f, each)
}

func (r *reader) eachObject(f io.Reader, each func(cells []cell, err error) bool) bool {
	lines := textfile.NewLines(f, maxRow)
	var cells []cell
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return true
		}
		r.line = lines.Number()
		switch {
		case errors.Is(err, textfile.ErrTooLong):
			if !each(nil, r.fault(faults.TooLong, "%v", err)) {
				return false
			}
			continue
		case err != nil:
			each(nil, r.broken(err))
			return false
		case len(strings.TrimSpace(string(line))) == 0:
			continue
		case !utf8.Valid(line):
			// encoding/json would replace such bytes without a word.
			if !each(nil, r.fault(faults.NotUTF8, "the line is not valid UTF-8")) {
				return false
			}
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
			if err == nil {
				err = errors.New("null")
			}
			if !each(nil, r.fault(faults.Malformed, "not a JSON object: %v", err)) {
				return false
			}
			continue
		}
		cells = cells[:0]
		for name, raw := range fields {
			cells = append(cells, cell{name: name, raw: raw})
		}
		slices.SortFunc(cells, func(a, b cell) int { return strings.Compare(a.name, b.name) })
		if !each(cells, nil) {
			return false
		}
	}
}

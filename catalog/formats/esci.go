package formats

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/parquetfile"
)

// The columns of ESCI. Those of the one-table copy are the union of both.
var (
	esciProducts = []string{"product_id", "product_title", "product_description", "product_bullet_point", "product_brand", "product_color"}
	esciNeeded   = []string{"query", "product_id", "esci_label"}
	esciLocale   = "product_locale"
)

// parquetProducts yields the products of the locale. In the one-table copy a
// product is there once a judgement: its first row counts.
func (r *reader) parquetProducts(yield func(catalog.Product, error) bool) {
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{}
	locales := map[string]bool{}
	found := false
	for _, path := range r.files.products {
		ok := r.parquetRows(path, esciProducts[:2], slices.Concat(esciProducts[2:], r.ownColumns()), locales, func(cells []cell, err error) bool {
			if err != nil {
				return yield(catalog.Product{}, err)
			}
			found = true
			if r.files.format == TaskSource {
				key := maphash.String(seed, cells[0].text)
				if _, ok := seen[key]; ok {
					return true
				}
				seen[key] = struct{}{}
			}
			if bad := notUTF8(cells); bad != "" {
				return yield(catalog.Product{}, r.fault(faults.NotUTF8, "column %s is not valid UTF-8", bad))
			}
			p, f := r.mapping.product(cells)
			if f != nil {
				return yield(p, r.located(f))
			}
			return yield(p, nil)
		})
		if !ok {
			return
		}
	}
	if !found {
		yield(catalog.Product{}, fmt.Errorf("%s: no product of the locale %s; there are %s (choose with --locale)",
			strings.Join(r.files.products, ", "), r.o.Locale, strings.Join(sortedKeys(locales), ", ")))
	}
}

// ownColumns are the columns that the user named.
func (r *reader) ownColumns() []string {
	var names []string
	for _, name := range r.o.Fields {
		if name != "" && !slices.Contains(esciProducts, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// parquetRows calls each with the rows of the locale of the file at path: the
// needed columns, then the optional ones that are there. It reports whether to
// go on with the next file. A file without locales is taken whole.
func (r *reader) parquetRows(path string, needed, optional []string, locales map[string]bool, each func(cells []cell, err error) bool) bool {
	r.file, r.line = path, 0
	t, err := parquetfile.Open(path)
	if err != nil {
		each(nil, err)
		return false
	}
	defer t.Close()
	if !t.Has(needed...) {
		each(nil, r.broken(fmt.Errorf("the columns %s are needed; there are %s", strings.Join(needed, ", "), strings.Join(t.Columns(), ", "))))
		return false
	}
	names := slices.Clone(needed)
	for _, name := range optional {
		if t.Has(name) && !slices.Contains(names, name) {
			names = append(names, name)
		} else if slices.Contains(r.ownColumns(), name) {
			each(nil, r.broken(fmt.Errorf("no column is called %s; there are %s", name, strings.Join(t.Columns(), ", "))))
			return false
		}
	}
	shown := len(names)
	if t.Has(esciLocale) {
		names = append(names, esciLocale)
	}
	kept := make([]cell, shown)
	goOn, err := t.Rows(names, func(row int, cells []parquetfile.Cell) bool {
		r.line = row
		if shown < len(cells) && cells[shown].Text != r.o.Locale {
			if len(locales) < 20 {
				locales[cells[shown].Text] = true
			}
			return true
		}
		for i, c := range cells[:shown] {
			kept[i] = cell{name: c.Name, text: c.Text, list: c.List}
		}
		return each(kept, nil)
	})
	if err != nil {
		each(nil, fmt.Errorf("%s: %w", path, err))
	}
	return goOn && err == nil
}

// notUTF8 returns the name of a cell that is not valid UTF-8, if there is one.
func notUTF8(cells []cell) string {
	for i := range cells {
		if !utf8.ValidString(cells[i].text) || slices.ContainsFunc(cells[i].list, func(s string) bool { return !utf8.ValidString(s) }) {
			return cells[i].name
		}
	}
	return ""
}

func sortedKeys(m map[string]bool) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

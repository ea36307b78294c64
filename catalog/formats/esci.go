package formats

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/parquetfile"
)

// The columns of ESCI. Those of the one-table copy are the union of both.
var (
	esciProducts = []string{"product_id", "product_title"}
	esciNeeded   = []string{"query", "product_id", "esci_label"}
	esciLocale   = "product_locale"
)

// parquetProducts yields the products of the locale. In the one-table copy a
// product is there once a judgement: its first row counts.
func (r *reader) parquetProducts(yield func(catalog.Product, error) bool) {
	r.tally = newTally()
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{}
	locales := map[string]bool{}
	found := false
	for _, path := range r.files.products {
		names, err := r.productColumns(path)
		if err != nil {
			yield(catalog.Product{}, err)
			return
		}
		ok := r.parquetRows(path, names, nil, locales, func(cells []cell, err error) bool {
			if err != nil {
				return yield(catalog.Product{}, err)
			}
			found = true
			if r.files.format == TaskSource {
				key := maphash.String(seed, cells[0].text) // of product_id
				if _, ok := seen[key]; ok {
					return true
				}
				seen[key] = struct{}{}
			}
			if bad := notUTF8(cells); bad != "" {
				return yield(catalog.Product{}, r.fault(faults.NotUTF8, "column %s is not valid UTF-8", bad))
			}
			return yield(r.product(cells))
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

// productColumns returns the columns of a Parquet file that are fields of a
// product, that of the id first.
func (r *reader) productColumns(path string) ([]string, error) {
	t, err := parquetfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	r.file, r.line = path, 0
	all := t.Columns()
	var names []string
	for _, name := range all {
		if s, ok := r.mapping.slot(name); ok && t.Has(name) {
			if s.target == idTarget && (len(names) == 0 || r.rank(name) < r.rank(names[0])) {
				names = slices.Insert(names, 0, name)
				continue
			}
			names = append(names, name)
		} else if name != esciLocale {
			r.tally.leave(name)
		}
	}
	return names, r.brokenIf(r.checkColumns(all))
}

// rank is how telling a name is for an id.
func (r *reader) rank(name string) int {
	if s, ok := r.mapping.slot(name); ok && s.target == idTarget {
		return s.rank
	}
	return math.MaxInt
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

package formats

import (
	"fmt"
	"hash/maphash"
	"iter"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// withPopularity yields products with the popularity that a table of its own
// gives them. The table is held in memory, 8 bytes of hash and 8 of number a
// product.
func (r *reader) withPopularity(products iter.Seq2[catalog.Product, error]) iter.Seq2[catalog.Product, error] {
	return func(yield func(catalog.Product, error) bool) {
		seed := maphash.MakeSeed()
		popularity := map[uint64]float64{}
		if !r.readPopularity(func(id string, n float64) { popularity[maphash.String(seed, id)] = n }, yield) {
			return
		}
		for p, err := range products {
			if n, ok := popularity[maphash.String(seed, p.ID)]; ok && err == nil {
				if p.Popularity == 0 && n > 0 {
					r.tally.use(popularityTarget, filepath.Base(r.files.popularity))
				}
				p.Popularity = n
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

func (r *reader) readPopularity(keep func(id string, n float64), yield func(catalog.Product, error) bool) bool {
	r.file, r.line = r.files.popularity, 0
	f, err := textfile.Open(r.file)
	if err != nil {
		yield(catalog.Product{}, err)
		return false
	}
	defer f.Close()
	table, err := r.table(f)
	if err != nil {
		yield(catalog.Product{}, r.broken(err))
		return false
	}
	id, count := table.Column(targets[idTarget].names...), table.Column(targets[popularityTarget].names...)
	if id < 0 || count < 0 {
		yield(catalog.Product{}, r.broken(fmt.Errorf("popularity needs the columns product_id and popularity (or views); there are %s",
			strings.Join(table.Header, ", "))))
		return false
	}
	return r.records(table, func(record []string, err error) bool {
		if err == nil {
			var n amount
			if n, err = parseAmount(record[count], unsettled); err == nil && n.value >= 0 {
				keep(strings.TrimSpace(record[id]), n.value)
				return true
			}
			if err == errNoNumber {
				return true
			}
			err = r.fault(faults.BadNumber, "%.60q is no number, or negative", record[count])
		}
		return yield(catalog.Product{}, err)
	})
}

package judgments

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/internal/parquetfile"
)

// The columns of ESCI's examples.
var (
	parquetNeeded   = []string{"query", "product_id", "esci_label"}
	parquetOptional = []string{"query_id", "split", "small_version", "product_locale"}
)

// parquet yields the judgements of ESCI's Parquet files. A file without locales is
// taken whole.
func (r *reader) parquet(path string) error {
	t, err := parquetfile.Open(path)
	if err != nil {
		return err
	}
	defer t.Close()
	if !t.Has(parquetNeeded...) {
		return r.broken(fmt.Errorf("the columns %s are needed; there are %s", strings.Join(parquetNeeded, ", "), strings.Join(t.Columns(), ", ")))
	}
	if r.o.Small && !t.Has("small_version") {
		return r.broken(fmt.Errorf("no column is called small_version; there are %s", strings.Join(t.Columns(), ", ")))
	}
	names := parquetNeeded[:len(parquetNeeded):len(parquetNeeded)]
	for _, name := range parquetOptional {
		if t.Has(name) {
			names = append(names, name)
		}
	}
	var bad error
	_, err = t.Rows(names, func(row int, cells []parquetfile.Cell) bool {
		r.line = row
		j := Judgment{Query: trim(cells[0].Text), Product: trim(cells[1].Text), Split: splitOf(path)}
		for _, c := range cells[len(parquetNeeded):] {
			switch c.Name {
			case "query_id":
				j.QueryID = trim(c.Text)
			case "split":
				j.Split = c.Text
			case "small_version":
				if r.o.Small && c.Text != "1" && c.Text != "true" {
					return true
				}
			case "product_locale":
				if r.o.Locale != "" && c.Text != r.o.Locale {
					return true
				}
			}
		}
		bad = r.emit(j, cells[2].Text)
		return bad == nil
	})
	if bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// splitOf reads the split off names such as train-00000-of-00004.parquet.
func splitOf(path string) string {
	name := filepath.Base(path)
	for _, split := range []string{"train", "test", "validation"} {
		if strings.HasPrefix(name, split+"-") || strings.HasPrefix(name, split+".") {
			return split
		}
	}
	return ""
}

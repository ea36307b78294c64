// Package parquetfile reads Parquet files row by row, in some of their columns.
package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// File is an open Parquet file, read row by row in some of its columns. Memory
// is one page a column, whatever the size of row groups.
type File struct {
	f      *os.File
	file   *parquet.File
	leaves map[string]int // top-level columns that are a value or a list of values
}

// Cell is the value of one column in one row, as text. A number that is no number
// and null are empty.
type Cell struct {
	Name string
	Text string
	List []string // of a column of lists, where there is more than one value
}

// Open opens the Parquet file at path.
func Open(path string) (t *File, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the Parquet file is damaged: %v", r)
		}
		if err != nil {
			f.Close()
			t, err = nil, fmt.Errorf("%s: %w", path, err)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<17))
	if err != nil {
		return nil, fmt.Errorf("it is not a Parquet file, or cut off: %w", err)
	}
	t = &File{f: f, file: file, leaves: map[string]int{}}
	several := map[string]bool{}
	for i, path := range file.Schema().Columns() {
		if _, ok := t.leaves[path[0]]; ok {
			several[path[0]] = true
		}
		t.leaves[path[0]] = i
	}
	for name := range several { // structures are no value
		delete(t.leaves, name)
	}
	return t, nil
}

// Close closes the file.
func (t *File) Close() { t.f.Close() }

// Has reports whether all names are columns that Rows can read.
func (t *File) Has(names ...string) bool {
	for _, name := range names {
		if _, ok := t.leaves[name]; !ok {
			return false
		}
	}
	return true
}

// Columns lists the columns in the order of the file, those too that Rows cannot
// read because they are structures.
func (t *File) Columns() []string {
	var names []string
	for _, f := range t.file.Schema().Fields() {
		names = append(names, f.Name())
	}
	return names
}

// Rows calls each with the rows, numbered from 1, until it returns false or
// there are no more. The cells are those of names, which Has has to know, in their
// order, and are overwritten by the next row. It reports whether each never
// returned false. A damaged file is an error, whatever the library makes of it.
func (t *File) Rows(names []string, each func(row int, cells []Cell) bool) (bool, error) {
	cells := make([]Cell, len(names))
	row := 0
	for _, group := range t.file.RowGroups() {
		chunks := group.ColumnChunks()
		columns := make([]*column, len(names))
		for i, name := range names {
			columns[i] = &column{pages: chunks[t.leaves[name]].Pages()}
		}
		goOn, err := func() (bool, error) {
			defer func() {
				for _, c := range columns {
					c.close()
				}
			}()
			for range group.NumRows() {
				row++
				for i, c := range columns {
					cells[i] = Cell{Name: names[i]}
					if err := c.next(&cells[i]); err != nil {
						return false, fmt.Errorf("row %d, column %s: %w", row, names[i], err)
					}
				}
				if !each(row, cells) {
					return false, nil
				}
			}
			return true, nil
		}()
		if !goOn {
			return false, err
		}
	}
	return true, nil
}

// column reads the values of one column of a row group.
type column struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [128]parquet.Value
	at, n  int
}

// next reads the value or values of the next row into c. What the library makes
// of a damaged file may be a panic.
func (c *column) next(into *Cell) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the Parquet file is damaged: %v", r)
		}
	}()
	for first := true; ; first = false {
		if c.at == c.n {
			err := c.fill()
			if err == io.EOF && !first {
				return nil
			}
			if err == io.EOF {
				return errors.New("the Parquet file is damaged: values are missing")
			}
			if err != nil {
				return fmt.Errorf("the Parquet file is damaged: %w", err)
			}
		}
		v := &c.buf[c.at]
		if !first && v.RepetitionLevel() == 0 {
			return nil // the next row's
		}
		c.at++
		if !v.IsNull() {
			text := valueText(v)
			if first {
				into.Text = text
			} else {
				if into.List == nil {
					into.List = []string{into.Text}
				}
				into.List = append(into.List, text)
			}
		}
	}
}

// fill reads more values.
func (c *column) fill() error {
	for {
		if c.values != nil {
			n, err := c.values.ReadValues(c.buf[:])
			if n > 0 {
				c.at, c.n = 0, n
				return nil
			}
			if err != nil && err != io.EOF {
				return err
			}
			parquet.Release(c.page) // nothing in buf refers to it any more
			c.page, c.values = nil, nil
		}
		page, err := c.pages.ReadPage()
		if err != nil {
			return err
		}
		c.page, c.values = page, page.Values()
	}
}

func (c *column) close() {
	defer func() { recover() }() // as in next; the error came there
	c.values = nil
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	c.pages.Close()
}

// valueText spells a value, a copy.
func valueText(v *parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32:
		return strconv.Itoa(int(v.Int32()))
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return number(float64(v.Float()), 32)
	case parquet.Double:
		return number(v.Double(), 64)
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray())
	}
	return ""
}

// number spells x; that is not a number where pandas has no value.
func number(x float64, bits int) string {
	if math.IsNaN(x) {
		return ""
	}
	return strconv.FormatFloat(x, 'f', -1, bits)
}

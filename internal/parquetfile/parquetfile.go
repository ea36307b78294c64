// Package parquetfile reads Parquet files row by row, in some of their columns.
package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/trirank/trirank/internal/regular"
)

// File is an open Parquet file, read row by row in some of its columns. Memory
// is some pages a column, whatever the size of row groups, and a page larger than
// 256 MiB is refused. What a damaged file claims is compared with what there is before
// anything is made room for.
type File struct {
	r      io.ReaderAt
	close  func() error
	file   *parquet.File
	chunks [][]chunk // by row group and leaf
	names  []string
	leaves map[string]leaf // columns that are a value or a list of values
}

// Cell is the value of one column in one row, as text. A number that is no number
// and null are empty.
type Cell struct {
	Name string
	Text string   // of a list, its first value
	List []string // of a list of more than one value, all of them but nulls
}

// Open opens the Parquet file at path.
func Open(path string) (*File, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	var t *File
	if err == nil {
		t, err = newFile(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.close = f.Close
	return t, nil
}

func newFile(r io.ReaderAt, size int64) (t *File, err error) {
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("the Parquet file is damaged: %v", r)
		}
	}()
	m, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	t = &File{r: r, close: func() error { return nil }, chunks: chunks(m, size)}
	if t.names, t.leaves, err = columns(m.Schema); err != nil {
		return nil, damaged(err)
	}
	if t.file, err = open(m); err != nil {
		return nil, damaged(err)
	}
	return t, nil
}

// Close closes the file.
func (t *File) Close() { t.close() }

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
// read because they are structures, or of a type without a plain text such as dates.
func (t *File) Columns() []string { return slices.Clone(t.names) }

// Rows calls each with the rows, numbered from 1, until it returns false or
// there are no more. The cells are those of names, which Has has to know, in their
// order, and are overwritten by the next row. It reports whether each never
// returned false. A damaged file is an error, whatever the library makes of it.
func (t *File) Rows(names []string, each func(row int, cells []Cell) bool) (bool, error) {
	row := 0
	for i, group := range t.file.RowGroups() {
		columns, open := make([]*column, len(names)), new(int64)
		for k, name := range names {
			c, err := t.column(i, group, name, open)
			if err != nil {
				return false, fmt.Errorf("column %s: %w", name, damaged(err))
			}
			columns[k] = c
		}
		goOn, err := read(columns, names, group.NumRows(), &row, each)
		if !goOn || err != nil {
			return false, err
		}
	}
	return true, nil
}

// read reads the rows of a row group.
func read(columns []*column, names []string, rows int64, row *int, each func(row int, cells []Cell) bool) (bool, error) {
	cells := make([]Cell, len(names))
	defer func() {
		for _, c := range columns {
			c.close()
		}
	}()
	for range rows {
		*row++
		for i, c := range columns {
			cells[i] = Cell{Name: names[i]}
			if err := c.next(&cells[i]); err != nil {
				return false, fmt.Errorf("row %d, column %s: %w", *row, names[i], damaged(err))
			}
		}
		if !each(*row, cells) {
			return false, nil
		}
	}
	for i, c := range columns {
		if err := c.end(); err != nil {
			return false, fmt.Errorf("row %d, column %s: %w", *row, names[i], damaged(err))
		}
	}
	return true, nil
}

// column returns a column of a row group, about to be read. open counts what the pages of
// all that are read side by side take.
func (t *File) column(number int, group parquet.RowGroup, name string, open *int64) (*column, error) {
	l := t.leaves[name]
	all := group.ColumnChunks()
	if number >= len(t.chunks) || l.number >= len(t.chunks[number]) || l.number >= len(all) {
		return nil, errThrift
	}
	c := t.chunks[number][l.number]
	if c.wrong != nil {
		return nil, c.wrong
	}
	if l.repetition == 0 && c.values != group.NumRows() {
		return nil, fmt.Errorf("there are %d values for %d rows", c.values, group.NumRows())
	}
	from, ok := all[l.number].(*parquet.FileColumnChunk)
	if !ok {
		return nil, errThrift
	}
	in := &pages{
		values: values{l.kind, l.length, -1}, codec: c.codec, repetition: l.repetition, definition: l.definition,
		left: c.values, in: t.r, at: c.at, end: c.end, open: open,
	}
	return &column{leaf: l, in: in, pages: from.PagesFrom(in)}, nil
}

// column reads the values of one column of a row group.
type column struct {
	leaf   leaf
	in     *pages
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [128]parquet.Value
	at, n  int
}

// next reads the value or values of the next row into c.
func (c *column) next(into *Cell) error {
	found := false
	for first := true; ; first = false {
		if c.at == c.n {
			err := c.fill()
			if err == io.EOF && !first {
				return nil
			}
			if err == io.EOF {
				return errors.New("values are missing")
			}
			if err != nil {
				return err
			}
		}
		v := &c.buf[c.at]
		if first == (v.RepetitionLevel() != 0) {
			if first {
				return errors.New("a list begins in its middle")
			}
			return nil // the next row's
		}
		c.at++
		if v.IsNull() {
			continue
		}
		text := c.leaf.text(v)
		if !found {
			into.Text, found = text, true
			continue
		}
		if into.List == nil {
			into.List = []string{into.Text}
		}
		into.List = append(into.List, text)
	}
}

// end reports values that no row has.
func (c *column) end() error {
	if c.at == c.n {
		switch err := c.fill(); err {
		case io.EOF:
			return nil
		case nil:
		default:
			return err
		}
	}
	return errors.New("there are more values than rows")
}

// fill reads more values. What the library makes of a damaged file may be a panic.
func (c *column) fill() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if c.in.err != nil && c.in.err != io.EOF && err != nil {
			err = c.in.err // which says more than what the library makes of it
		}
	}()
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

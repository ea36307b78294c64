package textfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// CSV reads the records of a table whose first record names the columns.
type CSV struct {
	r      *csv.Reader
	limit  *limiter
	line   int
	Header []string
}

// NewCSV reads the header of a table. Fields are parted by comma; the quotes of
// a table that is parted by tabs are taken literally where they do not fit. A
// record over max bytes ends reading: one quote that is never closed would
// otherwise make a record of the whole file.
func NewCSV(r io.Reader, comma rune, max int) (*CSV, error) {
	l := &limiter{r: r, max: max}
	c := &CSV{r: csv.NewReader(l), limit: l}
	c.r.Comma = comma
	c.r.LazyQuotes = comma == '\t'
	c.r.ReuseRecord = true
	header, err := c.r.Read()
	if err == io.EOF {
		return nil, errors.New("it is empty: the first line must name the columns")
	}
	if err != nil {
		return nil, err
	}
	for _, h := range header {
		c.Header = append(c.Header, strings.TrimSpace(strings.Clone(h)))
	}
	return c, nil
}

// Column returns the place of the first of the names that is a column, ignoring
// case, or -1.
func (c *CSV) Column(names ...string) int {
	for _, name := range names {
		if i := slices.IndexFunc(c.Header, func(h string) bool { return strings.EqualFold(h, name) }); i >= 0 {
			return i
		}
	}
	return -1
}

// Line is where the record read last begins.
func (c *CSV) Line() int { return c.line }

// Next returns the next record, valid until the next call; at the end the error
// is io.EOF. After a *csv.ParseError reading may go on.
func (c *CSV) Next() ([]string, error) {
	c.limit.n = 0
	record, err := c.r.Read()
	var bad *csv.ParseError
	switch {
	case err == nil:
		c.line, _ = c.r.FieldPos(0)
	case errors.As(err, &bad):
		c.line = bad.StartLine
		if errors.Is(err, csv.ErrFieldCount) {
			return nil, &csv.ParseError{StartLine: bad.StartLine, Line: bad.Line, Column: bad.Column,
				Err: fmt.Errorf("%d fields, but the header has %d", len(record), len(c.Header))}
		}
	case errors.Is(err, ErrTooLong):
		c.line++ // what follows the last good record
	}
	return record, err
}

// limiter fails when more than max bytes are read without a reset of n.
type limiter struct {
	r      io.Reader
	n, max int
}

func (l *limiter) Read(p []byte) (int, error) {
	if l.n > l.max {
		return 0, fmt.Errorf("%w: over %d bytes in one record (is a quote left open?)", ErrTooLong, l.max)
	}
	n, err := l.r.Read(p)
	l.n += n
	return n, err
}

// Package table is the one reader of tables in text: files of comma-separated
// values and their kin, as spreadsheets, shops and databases write them.
//
// No line of a table is lost without a word. A record that cannot be read is a
// fault of its first line, and reading goes on at the line after that, so that a
// stray quote costs one line and not all that follow. A record whose number of
// fields is not the header's is such a fault too, for that is what a stray quote
// most often leads to.
//
// What a table is written with is recognised: what parts its fields, how its
// quotes are escaped (see [Dialect]), a first line such as "sep=;", and UTF-16
// (by textfile). Lines end with LF, CR LF, or CR where no LF
// is outside quotes. Blank lines
// are passed over, and lines of nothing but delimiters, which spreadsheets leave.
//
// Where fields are parted by commas, semicolons or bars, quotes are those of RFC
// 4180. Where they are parted by tabs most programs write quotes as they are, so a
// field is quoted only if that fits: it closes right before a tab or a line end,
// the record has as many fields as the header, and a field of several lines holds
// no tab. Otherwise the quotes of the line are part of its text.
package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/trirank/trirank/internal/textfile"
)

// Dialect is how a table is written.
type Dialect struct {
	Comma     rune // what parts fields
	Backslash bool // a quote within quotes is \", and a backslash \\; otherwise it is ""
}

// String describes d in words, such as "parted by tabs".
func (d Dialect) String() string {
	names := map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs", '|': "bars"}
	s := names[d.Comma]
	if s == "" {
		s = fmt.Sprintf("%q", d.Comma)
	}
	s = "parted by " + s
	if d.Backslash {
		s += ", quotes escaped by backslashes"
	}
	return s
}

// The values of Options.Quotes.
const (
	QuotesDouble    = "double"    // a quote within quotes is written twice
	QuotesBackslash = "backslash" // a quote within quotes follows a backslash
)

// Options say how to read; the zero value recognises all there is.
type Options struct {
	// Comma parts fields. Default: what the header looks like.
	Comma rune
	// Quotes is QuotesDouble or QuotesBackslash. Default: what the first rows
	// look like.
	Quotes string
	// Max is the most bytes of a record. Default: 16 MiB. Reading holds no more
	// than some of them at once.
	Max int
	// Lax takes quotes that do not fit as text, as always where fields are parted
	// by tabs; Short fills records of fewer fields than the header with empty ones.
	// Both are for programs that are known to write such tables.
	Lax, Short bool
	// Known, if not nil, reports whether a header makes sense. It decides between
	// delimiters that could all part the first line.
	Known func(header []string) bool
}

// Error is what is wrong with a record. Reading may go on after it.
type Error struct {
	Line   int // where the record begins, from 1
	Reason string
	long   bool
}

// Error names the line and the reason.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Is reports whether target is textfile.ErrTooLong and the record was that.
func (e *Error) Is(target error) bool { return e.long && target == textfile.ErrTooLong }

const (
	// sample is how many bytes are looked at to recognise a dialect.
	sample     = 1 << 20
	defaultMax = 1 << 24
)

// Reader reads the records of a table.
type Reader struct {
	// Header has the names of the columns as they are written, without white
	// space around them.
	Header []string
	// Dialect is what the table is written in.
	Dialect Dialect

	folded []string // Header, folded
	src    io.Reader
	buf    []byte // of which buf[pos:] is not yet read
	pos    int
	end    error // of src
	max    int
	onlyCR bool // lines end with CR

	p    parser
	line int // where the record read last begins
	next int // where the next one does
	// consumed and wasted are bytes that were read, and that were looked at in
	// vain for the end of a quoted field.
	consumed, wasted int
}

// New reads the header of a table.
func New(f *textfile.File, o Options) (*Reader, error) {
	r := &Reader{src: f, max: o.Max, next: 1}
	if r.max <= 0 {
		r.max = defaultMax
	}
	r.fill(sample)
	if r.end != nil && r.end != io.EOF {
		return nil, r.end
	}
	if at := bytes.IndexByte(r.buf, 0); at >= 0 {
		return nil, textfile.ErrNUL
	}
	r.onlyCR = onlyCR(r.buf)
	if comma, ok := r.separator(); ok && o.Comma == 0 {
		o.Comma = comma
	}
	if err := r.recognise(o); err != nil {
		return nil, err
	}
	header, err := r.Next()
	switch {
	case err == io.EOF:
		return nil, errors.New("it is empty: the first line must name the columns")
	case err != nil:
		return nil, err
	}
	for _, name := range header {
		name = trim(strings.Clone(name))
		r.Header, r.folded = append(r.Header, name), append(r.folded, Fold(name))
	}
	r.p.fields = len(header)
	return r, nil
}

// onlyCR reports whether the lines of a table that begins so end with CR. A line end
// within quotes may be LF all the same: Excel on a Mac writes such tables.
func onlyCR(start []byte) bool {
	if bytes.IndexByte(start, '\n') < 0 {
		return bytes.IndexByte(bytes.TrimRight(start, "\r"), '\r') >= 0
	}
	inside, found := false, false
	for i, c := range start {
		switch {
		case c == '"':
			inside = !inside
		case inside:
		case c == '\n':
			return false
		case c == '\r' && i+1 < len(start):
			found = true
		}
	}
	return found
}

// Line is where the record read last begins, from 1.
func (r *Reader) Line() int { return r.line }

// Column returns the place of the first of the names that is a column, or -1.
// Names are compared as Fold has them.
func (r *Reader) Column(names ...string) int {
	for _, name := range names {
		if i := slices.Index(r.folded, Fold(name)); i >= 0 {
			return i
		}
	}
	return -1
}

// Fold returns what spellings of the name of a column have in common: "Product
// ID", product_id, productId and "product-id*" are productid. An asterisk at the
// end marks what a form requires.
func Fold(name string) string {
	name = strings.TrimRight(trim(name), "*")
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || unicode.IsSpace(c) || c == '\ufeff' {
			return -1
		}
		return unicode.ToLower(c)
	}, norm.NFC.String(name))
}

// trim cuts white space and byte order marks off both ends.
func trim(s string) string {
	return strings.TrimFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == '\ufeff' })
}

// Next returns the next record, valid until the next call; it has as many fields
// as the header. At the end the error is io.EOF. An *Error is of one line, and
// reading may go on after it; any other ends reading.
func (r *Reader) Next() ([]string, error) {
	for {
		line, n, err := r.peekLine()
		if err != nil {
			return nil, err
		}
		if n == 0 { // over the limit, and passed over
			return nil, &Error{r.line, fmt.Sprintf("%v: over %d bytes in one line", textfile.ErrTooLong, r.max), true}
		}
		r.line = r.next
		if r.p.blank(line) {
			r.take(n, 1)
			continue
		}
		if bytes.IndexByte(line, '"') < 0 {
			r.take(n, 1)
			return r.count(r.p.split(line))
		}
		return r.quoted(line, n)
	}
}

// take moves on by n bytes, which are so many lines.
func (r *Reader) take(n, lines int) {
	r.pos += n
	r.next += lines
	r.consumed += n
}

// count reports a record that has not as many fields as the header. Empty fields
// beyond those of the header are cut off: spreadsheets leave them.
func (r *Reader) count(record []string) ([]string, error) {
	want := r.p.fields
	if want < 0 || len(record) == want {
		return record, nil
	}
	if r.p.short && len(record) < want {
		for len(record) < want {
			record = append(record, "")
		}
		r.p.record = record
		return record, nil
	}
	if excess := record[min(want, len(record)):]; len(excess) > 0 && !slices.ContainsFunc(excess, func(s string) bool { return s != "" }) {
		return record[:want], nil
	}
	return nil, &Error{Line: r.line, Reason: fmt.Sprintf("%d fields, but the header has %d", len(record), want)}
}

// quoted reads a record that begins with the line of n bytes, in which there are
// quotes.
func (r *Reader) quoted(line []byte, n int) ([]string, error) {
	plain := -1 // fields of the line if its quotes are text
	if r.p.lax {
		plain = bytes.Count(line, r.p.comma) + 1
	}
	r.p.plainFits = plain >= 0 && r.p.fits(plain)
	got := r.p.parse(r.buf[r.pos:], r.end != nil, r.max)
	for got.more {
		r.fill(2 * (len(r.buf) - r.pos))
		got = r.p.parse(r.buf[r.pos:], r.end != nil, r.max)
	}
	if got.why != "" && r.end != nil && r.end != io.EOF {
		return nil, r.end // the file is cut off, which explains the rest
	}
	if got.why == "" && !(got.tabbed && r.p.plainFits) {
		if record, err := r.count(got.record); err == nil {
			r.take(got.size, got.lines)
			return record, nil
		} else if !r.p.lax {
			return nil, r.only(n, got.size, err)
		}
	}
	switch {
	case r.p.plainFits:
		record := r.p.split(r.buf[r.pos : r.pos+len(line)]) // fill may have moved it
		if err := r.only(n, got.size, nil); err != nil {
			return nil, err
		}
		return r.count(record)
	case r.p.lax:
		return nil, r.only(n, got.size, &Error{Line: r.line, Reason: fmt.Sprintf("%d fields, but the header has %d", plain, r.p.fields)})
	case got.backslash && !r.p.backslash:
		got.why += " (if its quotes are escaped by backslashes, say --quotes backslash)"
	}
	return nil, r.only(n, got.size, &Error{Line: r.line, Reason: got.why, long: got.long})
}

// only moves on by the one line of n bytes of a record of which so many bytes were
// looked at, and returns err. Bytes are not looked at time and again without end.
func (r *Reader) only(n, looked int, err error) error {
	if r.wasted += max(0, looked-n); r.wasted > 8*(r.max+r.consumed) {
		return errors.New("too many quotes open what nothing closes (is it a table of text?)")
	}
	r.take(n, 1)
	return err
}

// peekLine returns the line at hand, without its end, and how many bytes it has
// with it. A line over the limit is passed over: the number is then 0.
func (r *Reader) peekLine() (line []byte, n int, err error) {
	for {
		data := r.buf[r.pos:]
		n, end := r.p.lineEnd(data, r.end != nil)
		if end > 0 && n <= r.max {
			return data[:n], end, nil
		}
		if end > 0 || len(data) > r.max+2 {
			break
		}
		if r.end == nil {
			r.fill(max(1<<16, 2*len(data)))
			continue
		}
		if r.end != io.EOF {
			r.line = r.next
			return nil, 0, r.end
		}
		if len(data) == 0 {
			return nil, 0, io.EOF
		}
		return data, len(data), nil
	}
	r.line = r.next
	for {
		data := r.buf[r.pos:]
		if _, end := r.p.lineEnd(data, r.end != nil); end > 0 {
			r.take(end, 1)
			return nil, 0, nil
		}
		if r.end != nil {
			r.take(len(data), 1)
			return nil, 0, nil
		}
		keep := 0
		if data[len(data)-1] == '\r' {
			keep = 1 // it may be half of a line end
		}
		r.take(len(data)-keep, 0)
		r.fill(1 << 16)
	}
}

// fill reads until size bytes wait to be parsed, or the source ends.
func (r *Reader) fill(size int) {
	if r.pos > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[r.pos:])]
		r.pos = 0
	}
	for empty := 0; r.end == nil && len(r.buf) < size; {
		if len(r.buf) == cap(r.buf) {
			r.buf = slices.Grow(r.buf, max(1<<14, min(len(r.buf), size-len(r.buf)))) // small files want little
		}
		n, err := r.src.Read(r.buf[len(r.buf):min(size, cap(r.buf))])
		r.buf, r.end = r.buf[:len(r.buf)+n], err
		if empty++; n > 0 {
			empty = 0
		} else if empty > 100 && err == nil {
			r.end = io.ErrNoProgress
		}
	}
}

// separator reads a first line such as "sep=;", by which Excel is told what parts
// fields.
func (r *Reader) separator() (rune, bool) {
	r.p.onlyCR = r.onlyCR
	n, end := r.p.lineEnd(r.buf, true)
	line := r.buf[:n]
	if len(line) < 5 || !strings.EqualFold(string(line[:4]), "sep=") {
		return 0, false
	}
	c, size := utf8.DecodeRune(line[4:])
	if 4+size != len(line) || !Delimiter(c) || unicode.IsLetter(c) || unicode.IsDigit(c) {
		return 0, false
	}
	r.take(max(end, len(line)), 1)
	return c, true
}

// ParseDelimiter reads what a user says parts fields: one character, or tab; 0 is for an
// empty text.
func ParseDelimiter(s string) (rune, error) {
	switch c, size := utf8.DecodeRuneInString(s); {
	case s == "":
		return 0, nil
	case s == "tab", s == `\t`:
		return '\t', nil
	case size == len(s) && Delimiter(c):
		return c, nil
	}
	return 0, fmt.Errorf("delimiter %.20q cannot part fields: name one character, such as , or ; or |, or tab", s)
}

// Delimiter reports whether c can part fields.
func Delimiter(c rune) bool {
	return c > 0 && c != utf8.RuneError && !strings.ContainsRune("\r\n\"\ufeff", c)
}

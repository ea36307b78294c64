package table

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// delimiters are recognised, the likeliest first.
var delimiters = []rune{',', '\t', ';', '|'}

// recognise sets the dialect of what begins at r.pos.
func (r *Reader) recognise(o Options) error {
	if o.Comma != 0 && !Delimiter(o.Comma) {
		return fmt.Errorf("%q cannot part fields", o.Comma)
	}
	switch o.Quotes {
	case "", QuotesDouble, QuotesBackslash:
	default:
		return fmt.Errorf("quotes %q are none of %s and %s", o.Quotes, QuotesDouble, QuotesBackslash)
	}
	start := r.buf[r.pos:]
	backslash := o.Quotes == QuotesBackslash
	comma := o.Comma
	if comma == 0 {
		comma = recogniseComma(start, backslash, r.onlyCR, o.Known)
	}
	if o.Quotes == "" && bytes.Contains(start, []byte(`\"`)) {
		all := r.end == io.EOF
		double := strain(start, all, Dialect{comma, false}, r.onlyCR)
		// A table that is sound as it is is never taken for something else.
		backslash = double > 0 && strain(start, all, Dialect{comma, true}, r.onlyCR) < double
	}
	r.Dialect = Dialect{comma, backslash}
	r.p = newParser(r.Dialect, r.onlyCR)
	r.p.lax, r.p.short = r.p.lax || o.Lax, o.Short
	return nil
}

// recogniseComma returns what most often parts the first record of a table
// outside quotes or, of what parts it into known columns, what does so most often.
func recogniseComma(start []byte, backslash, onlyCR bool, known func([]string) bool) rune {
	counts := make([]int, len(delimiters))
	begun, inside := false, false
	end := len(start)
scan:
	for i := 0; i < len(start); i++ {
		switch c := start[i]; {
		case c == '\\' && backslash && inside:
			i++
		case c == '"':
			inside, begun = !inside, true
		case (c == '\n' || c == '\r' && onlyCR) && !inside:
			if begun {
				end = i
				break scan
			}
			clear(counts) // a line of delimiters is blank
		case !inside && slices.Contains(delimiters, rune(c)):
			counts[slices.Index(delimiters, rune(c))]++
		case c != ' ' && c != '\r':
			begun = true
		}
	}
	best, most := ',', 0
	for i, c := range delimiters {
		n := counts[i]
		if n > 0 && known != nil {
			p := newParser(Dialect{c, backslash}, onlyCR)
			if got := p.parse(bytes.TrimLeft(start[:end], "\r\n "), true, sample); got.why == "" && known(trimmed(got.record)) {
				n += len(start)
			}
		}
		if n > most {
			best, most = c, n
		}
	}
	return best
}

func trimmed(fields []string) []string {
	fields = slices.Clone(fields)
	for i := range fields {
		fields[i] = trim(fields[i])
	}
	return fields
}

// strain counts the records in data whose quotes do not fit the dialect d. All is
// set if the table ends with data.
func strain(data []byte, all bool, d Dialect, onlyCR bool) int {
	p := newParser(d, onlyCR)
	n := 0
	for len(data) > 0 {
		line, withEnd := p.lineEnd(data, all)
		if withEnd == 0 {
			withEnd = len(data)
		}
		if bytes.IndexByte(data[:line], '"') < 0 {
			data = data[withEnd:]
			continue
		}
		got := p.parse(data, all, len(data))
		switch {
		case got.more:
			return n
		case got.why == "":
			data = data[got.size:]
		default:
			n++
			data = data[withEnd:]
			if n > 1000 {
				return n
			}
		}
	}
	return n
}

// Split returns the fields of line, the first line of a table, by the delimiter
// that New would recognise. It is for those who look at the beginning of a file
// only.
func Split(line []byte, comma rune, known func([]string) bool) []string {
	cr := onlyCR(line)
	if comma == 0 {
		comma = recogniseComma(line, false, cr, known)
	}
	p := newParser(Dialect{comma, false}, cr)
	if !utf8.ValidRune(comma) {
		return nil
	}
	if got := p.parse(line, true, sample); got.why == "" {
		return trimmed(got.record)
	}
	if n, end := p.lineEnd(line, true); cr && end > 0 {
		line = line[:n]
	}
	return trimmed(p.split(line))
}

package table

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/textfile"
)

// parser parts records of one dialect. What it returns is overwritten by what it
// returns next.
type parser struct {
	comma     []byte
	backslash bool
	lax       bool // quotes may be text
	short     bool // records may have fewer fields than the header
	onlyCR    bool
	fields    int  // of the header; -1 before it is known
	plainFits bool // the line at hand has as many fields if its quotes are text

	text   []byte // of the fields, one after the other
	ends   []int  // of each field in text
	record []string
}

func newParser(d Dialect, onlyCR bool) parser {
	return parser{comma: utf8.AppendRune(nil, d.Comma), backslash: d.Backslash, lax: d.Comma == '\t', onlyCR: onlyCR, fields: -1}
}

// lineEnd returns how long the first line of data is without its end and with it;
// the latter is 0 if the line does not end in data. A CR at the very end of data
// is half of a line end if there is no more.
func (p *parser) lineEnd(data []byte, all bool) (line, withEnd int) {
	if p.onlyCR {
		i := bytes.IndexAny(data, "\r\n")
		switch {
		case i < 0:
			return len(data), 0
		case data[i] == '\n':
			return i, i + 1
		case i+1 < len(data) && data[i+1] == '\n':
			return i, i + 2
		case i+1 == len(data) && !all:
			return i, 0
		}
		return i, i + 1
	}
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		if n := len(data); all && n > 0 && data[n-1] == '\r' {
			return n - 1, n
		}
		return len(data), 0
	}
	if i > 0 && data[i-1] == '\r' {
		return i - 1, i + 1
	}
	return i, i + 1
}

// blank reports whether there is nothing in line but delimiters and white space.
func (p *parser) blank(line []byte) bool {
	for len(line) > 0 {
		switch {
		case line[0] == ' ' || line[0] == '\t' || line[0] == '\r':
			line = line[1:]
		case bytes.HasPrefix(line, p.comma):
			line = line[len(p.comma):]
		default:
			return false
		}
	}
	return true
}

// split parts a line, taking quotes as text.
func (p *parser) split(line []byte) []string {
	p.record = p.record[:0]
	text := string(line)
	if len(p.comma) == 1 {
		from := 0
		for {
			i := bytes.IndexByte(line[from:], p.comma[0])
			if i < 0 {
				break
			}
			p.record = append(p.record, text[from:from+i])
			from += i + 1
		}
		p.record = append(p.record, text[from:])
		return p.record
	}
	from := 0
	for {
		i := bytes.Index(line[from:], p.comma)
		if i < 0 {
			break
		}
		p.record = append(p.record, text[from:from+i])
		from += i + len(p.comma)
	}
	p.record = append(p.record, text[from:])
	return p.record
}

// fits reports whether n fields are as many as a record may have.
func (p *parser) fits(n int) bool {
	return p.fields < 0 || n == p.fields || p.short && n < p.fields
}

// parsed is what became of a record.
type parsed struct {
	record []string
	size   int  // bytes of the record with its end, or that were looked at
	lines  int  // that it spans
	more   bool // its end is not there yet

	why       string // what is wrong with it
	long      bool   // it is over the limit
	backslash bool   // what is wrong follows a backslash
	tabbed    bool   // a quoted field of several lines holds a delimiter
}

// parse reads the record at the beginning of data, which is all there is if all
// is set, by its quotes.
func (p *parser) parse(data []byte, all bool, limit int) (got parsed) {
	p.text, p.ends = p.text[:0], p.ends[:0]
	got.lines = 1
	at, end, next := 0, -1, 0 // end and next are where the line at hand ends, and the one after it begins
	fault := func(format string, args ...any) parsed {
		got.why, got.size = fmt.Sprintf(format, args...), at
		return got
	}
	unfinished := func() (parsed, bool) {
		switch {
		case len(data) > limit:
			at = limit
			got.long = true
			return fault("%v: over %d bytes in one record (is a quote left open?)", textfile.ErrTooLong, limit), true
		case !all:
			return parsed{more: true}, true
		}
		return parsed{}, false
	}
	for {
		if at < len(data) && data[at] == '"' {
			begin, first := at, got.lines
			delimiter := false
			at++
		inside:
			for {
				i := p.special(data[at:])
				if i < 0 {
					if out, stop := unfinished(); stop {
						return out
					}
					at = len(data)
					got.backslash = got.backslash || bytes.Contains(data[begin:at], []byte(`\"`))
					return fault("field %d begins with a quote that nothing closes", len(p.ends)+1)
				}
				part := data[at : at+i]
				got.lines += p.lineEnds(part)
				delimiter = delimiter || p.lax && bytes.Contains(part, p.comma)
				p.text = append(p.text, part...)
				at += i
				if delimiter && got.lines > first && p.plainFits {
					return fault("it is not quoted")
				}
				if at > limit {
					out, _ := unfinished()
					return out
				}
				if at+1 == len(data) {
					if !all {
						return parsed{more: true}
					}
					if data[at] == '"' {
						at++
						break inside
					}
					p.text = append(p.text, data[at])
					at++
					continue
				}
				switch c := data[at+1]; {
				case data[at] == '\\' && (c == '"' || c == '\\'):
					p.text = append(p.text, c)
					at += 2
				case data[at] == '\\':
					p.text = append(p.text, '\\')
					at++
				case c == '"':
					p.text = append(p.text, '"')
					at += 2
				default:
					at++
					break inside
				}
			}
			got.tabbed = got.tabbed || delimiter && got.lines > first
			if !bytes.HasPrefix(data[at:], p.comma) && at < len(data) && !p.atEnd(data[at:]) {
				if !all && len(data)-at < len(p.comma)+2 {
					return parsed{more: true}
				}
				got.backslash = data[at-2] == '\\'
				return fault("field %d has a quote that is neither doubled nor at its end", len(p.ends)+1)
			}
			if !all && len(data)-at < len(p.comma)+2 {
				return parsed{more: true} // a line end or a delimiter may be cut in two
			}
		} else {
			if at > end {
				n, withEnd := p.lineEnd(data[at:], all)
				end, next = at+n, at+withEnd
			}
			if next <= end && !all {
				if out, stop := unfinished(); stop {
					return out
				}
			}
			line := data[at:end]
			if i := bytes.Index(line, p.comma); i >= 0 {
				line = line[:i]
			}
			if quote := bytes.IndexByte(line, '"'); quote >= 0 && !p.lax {
				at += quote
				got.backslash = quote > 0 && line[quote-1] == '\\'
				return fault("field %d has a quote but does not begin with it", len(p.ends)+1)
			}
			p.text = append(p.text, line...)
			at += len(line)
		}
		p.ends = append(p.ends, len(p.text))
		if bytes.HasPrefix(data[at:], p.comma) && at < len(data) {
			at += len(p.comma)
			if p.lax && p.fields >= 0 && got.lines > 1 && len(p.ends) > p.fields {
				return fault("over %d fields", p.fields) // it is not quoted, and looking on would take long
			}
			continue
		}
		if _, end := p.lineEnd(data[at:], true); end > 0 {
			at += end
		}
		got.size = at
		break
	}
	text := string(p.text)
	p.record = p.record[:0]
	from := 0
	for _, end := range p.ends {
		p.record = append(p.record, text[from:end])
		from = end
	}
	got.record = p.record
	return got
}

// special returns where the next byte is that means something within quotes.
func (p *parser) special(data []byte) int {
	if p.backslash {
		return bytes.IndexAny(data, `"\`)
	}
	return bytes.IndexByte(data, '"')
}

// lineEnds counts the line ends in part of a field.
func (p *parser) lineEnds(part []byte) int {
	n := bytes.Count(part, []byte{'\n'})
	if p.onlyCR {
		n += bytes.Count(part, []byte{'\r'}) - bytes.Count(part, []byte("\r\n"))
	}
	return n
}

// atEnd reports whether data begins with a line end.
func (p *parser) atEnd(data []byte) bool {
	return data[0] == '\n' || data[0] == '\r' && (p.onlyCR || len(data) == 1 || data[1] == '\n')
}

package formats

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/trirank/trirank/internal/textfile"
)

// maxDepth is how deep elements of a feed may lie within each other.
const maxDepth = 64

// feedRows calls each with the items of a feed: RSS 2.0 or Atom, whose elements
// Google Merchant's names extend. It is read element by element; the decoder knows
// no entities but those of HTML, and no documents elsewhere.
func (r *reader) feedRows(f io.Reader, each func(cells []cell, err error) bool) bool {
	limit := &itemLimit{r: f}
	d := xml.NewDecoder(limit)
	d.Entity = xml.HTMLEntity
	d.CharsetReader = charset
	item := feedItem{}
	depth := 0
	for {
		t, err := d.Token()
		if err == io.EOF {
			return true
		}
		line, _ := d.InputPos()
		if err != nil {
			r.line = max(line, 1)
			if bad := (*xml.SyntaxError)(nil); errors.As(err, &bad) {
				r.line, err = max(bad.Line, 1), fmt.Errorf("the XML is broken: %s (what follows cannot be read; make the feed again)", bad.Msg)
			}
			each(nil, r.broken(err))
			return false
		}
		if item.depth == 0 {
			limit.n = 0
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				r.line = line
				each(nil, r.broken(fmt.Errorf("over %d elements lie within each other", maxDepth)))
				return false
			}
			if item.depth == 0 && (t.Name.Local == "item" || t.Name.Local == "entry") {
				item = feedItem{depth: depth, line: line, cells: item.cells[:0]}
				continue
			}
			item.start(t, depth)
		case xml.CharData:
			item.add(t, depth)
		case xml.EndElement:
			if item.depth > 0 && depth == item.depth {
				cells := item.finish()
				r.line = item.line
				if len(cells) > 0 && !each(cells, nil) {
					return false
				}
				item.depth = 0
			}
			item.end(depth)
			depth--
		}
	}
}

// feedItem is an item of a feed as it is read.
type feedItem struct {
	depth, line int // depth is 0 between items
	cells       []cell
	spaces      []string // the name space of each cell

	name   xml.Name // of the element at hand, right below the item
	text   strings.Builder
	nested bool // it has elements of its own
}

func (i *feedItem) start(t xml.StartElement, depth int) {
	switch {
	case i.depth == 0:
	case depth == i.depth+1:
		i.name, i.nested = t.Name, false
		i.text.Reset()
		if t.Name.Local == "link" { // Atom has the address in an attribute
			for _, a := range t.Attr {
				if a.Name.Local == "href" {
					i.text.WriteString(a.Value)
				}
			}
		}
	default:
		i.nested = true
		i.text.WriteByte('\n')
	}
}

func (i *feedItem) add(text []byte, depth int) {
	if i.depth > 0 && depth > i.depth {
		i.text.Write(text)
	}
}

func (i *feedItem) end(depth int) {
	if i.depth == 0 || depth != i.depth+1 {
		return
	}
	name := i.name.Local
	// What has parts, such as the price of shipping, is no field of a product, but
	// for a text with markup.
	if i.nested && name != "title" && name != "description" && name != "summary" && name != "content" {
		return
	}
	text := strings.TrimSpace(i.text.String())
	if text == "" {
		return
	}
	space := i.name.Space
	for at := range i.cells {
		if i.cells[at].name != name {
			continue
		}
		c := &i.cells[at]
		switch {
		case i.spaces[at] == space: // once more: a list
			if c.list == nil {
				c.list = []string{c.text}
			}
			c.list = append(c.list, text)
		case isGoogle(space): // says more than the title of a news item
			*c = cell{name: name, text: text}
			i.spaces[at] = space
		}
		return
	}
	i.cells, i.spaces = append(i.cells, cell{name: name, text: text}), append(i.spaces, space)
}

func (i *feedItem) finish() []cell { return i.cells }

// isGoogle reports whether space is Google Merchant's, or its prefix where the feed
// forgets to say what the prefix means.
func isGoogle(space string) bool { return space == "g" || strings.Contains(space, "base.google.com") }

// itemLimit fails where one item of a feed, or what stands between two, is longer
// than rows may be.
type itemLimit struct {
	r io.Reader
	n int
}

func (l *itemLimit) Read(p []byte) (int, error) {
	if l.n > maxRow {
		return 0, fmt.Errorf("%w: over %d bytes in one item", textfile.ErrTooLong, maxRow)
	}
	n, err := l.r.Read(p)
	l.n += n
	return n, err
}

// charset reads the encodings that feeds declare. UTF-16 was decoded before.
func charset(label string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be":
		return r, nil
	case "iso-8859-1", "latin1", "iso8859-1", "windows-1252", "cp1252":
		return &latin{r: r}, nil
	}
	return nil, fmt.Errorf("it is in %s: save it as UTF-8", label)
}

// latin makes UTF-8 of Windows-1252, of which ISO 8859-1 is a part.
type latin struct {
	r    io.Reader
	rest []byte
}

// windows are the characters 0x80 to 0x9f.
var windows = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")

// Read reads UTF-8.
func (l *latin) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		var raw [512]byte
		n, err := l.r.Read(raw[:])
		if n == 0 {
			return 0, err
		}
		var b strings.Builder
		for _, c := range raw[:n] {
			if c >= 0x80 && c < 0xa0 {
				b.WriteRune(windows[c-0x80])
				continue
			}
			b.WriteRune(rune(c))
		}
		l.rest = []byte(b.String())
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

package formats

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// eachObject calls each with the fields of each line or, where the file is one JSON
// array, of each of its items, in the order of their names.
func (r *reader) eachObject(f *textfile.File, each func(cells []cell, err error) bool) bool {
	next := r.lines(f)
	if bytes.HasPrefix(bytes.TrimSpace(f.Peek()), []byte("[")) {
		items := newItems(f, maxRow)
		next = items.next
	}
	var cells []cell
	for {
		text, number, err := next()
		if err == io.EOF {
			return true
		}
		r.line = number
		switch {
		case errors.Is(err, textfile.ErrTooLong):
			if !each(nil, r.fault(faults.TooLong, "%v", err)) {
				return false
			}
			continue
		case err != nil:
			each(nil, r.broken(err))
			return false
		case len(bytes.TrimSpace(text)) == 0:
			continue
		case !utf8.Valid(text):
			// encoding/json would replace such bytes without a word.
			if !each(nil, r.fault(faults.NotUTF8, brokenText, "the line is")) {
				return false
			}
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
			if err == nil {
				err = errors.New("null")
			}
			if !each(nil, r.fault(faults.Malformed, "not a JSON object: %v", err)) {
				return false
			}
			continue
		}
		cells = cells[:0]
		for name, raw := range fields {
			cells = append(cells, cell{name: name, raw: raw})
		}
		slices.SortFunc(cells, func(a, b cell) int { return strings.Compare(a.name, b.name) })
		if !each(cells, nil) {
			return false
		}
	}
}

// lines returns a function that returns the lines of f with their numbers.
func (r *reader) lines(f io.Reader) func() ([]byte, int, error) {
	lines := textfile.NewLines(f, maxRow)
	return func() ([]byte, int, error) {
		line, err := lines.Next()
		return line, lines.Number(), err
	}
}

// items reads the items of one JSON array, each as its text: the whole may be
// larger than memory, and one item that is broken does not spoil the others.
type items struct {
	r    *bufio.Reader
	max  int
	line int
	buf  []byte
	// begun says that the bracket before the first item was read, and end that the
	// one behind the last was.
	begun, end bool
}

func newItems(r io.Reader, max int) *items {
	return &items{r: bufio.NewReaderSize(r, 1<<16), max: max, line: 1}
}

// next returns the text of the next item and the line where it begins, or io.EOF.
func (s *items) next() ([]byte, int, error) {
	if s.end {
		err := s.rest()
		return nil, s.line, err
	}
	s.buf = s.buf[:0]
	depth, begin, inString, escaped, long := 0, 0, false, false, false
	for {
		c, err := s.r.ReadByte()
		if err == io.EOF {
			// An item that is whole does not make up for the bracket: the file was cut
			// between two items, and who knows how many are missing.
			if begin > 0 && (depth > 0 || inString) {
				return nil, begin, errors.New("the JSON array does not end: the file is cut off, or a quote or a bracket of the item that begins here is left open (mend the item, or fetch or make the file again)")
			}
			return nil, s.line, errors.New("the JSON array does not end: the file is cut off (fetch or make the file again)")
		}
		if err != nil {
			return nil, s.line, err
		}
		if c == '\n' {
			s.line++
		}
		if begin == 0 {
			switch c {
			case ' ', '\t', '\r', '\n', ',':
				continue
			case '[':
				if !s.begun {
					s.begun = true
					continue
				}
			case ']':
				s.end = true
				err := s.rest()
				return nil, s.line, err
			}
			begin = s.line
		} else if depth == 0 && !inString && (c == ',' || c == ']') {
			s.end = c == ']'
			if long {
				return nil, begin, fmt.Errorf("%w: over %d bytes in one item", textfile.ErrTooLong, s.max)
			}
			return s.buf, begin, nil
		}
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth = max(0, depth-1) // one too many spoils its item, not the array
		}
		if len(s.buf) >= s.max {
			long = true
			s.buf = nil // gives back what a huge item took
		}
		if !long {
			s.buf = append(s.buf, c)
		}
	}
}

// rest returns io.EOF if nothing but white space is behind the array, and else what is
// wrong: products that nobody reads are not to be lost without a word.
func (s *items) rest() error {
	for {
		switch c, err := s.r.ReadByte(); {
		case err != nil:
			return err
		case c == '\n':
			s.line++
		case c != ' ' && c != '\t' && c != '\r':
			s.r.UnreadByte()
			return errors.New("there is more behind the end of the JSON array (make it one array, or write one object a line)")
		}
	}
}

package textfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// errHalf says that a file of UTF-16 ends within a character.
var errHalf = errors.New("the file is cut off: it is in UTF-16 and has an odd number of bytes (fetch or make it again)")

// utf16Reader makes UTF-8 of UTF-16. Half of a surrogate pair becomes the three
// bytes that such a number has by the scheme of UTF-8. They are not valid UTF-8:
// whoever checks a row finds the fault in that row, and the others can be read.
type utf16Reader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	all   []byte // of which buf is the end
	buf   []byte // decoded, not yet read
	err   error
}

// Read reads UTF-8.
func (u *utf16Reader) Read(p []byte) (int, error) {
	if len(u.buf) == 0 && u.err == nil {
		u.fill()
	}
	if len(u.buf) == 0 {
		return 0, u.err
	}
	n := copy(p, u.buf)
	u.buf = u.buf[n:]
	return n, nil
}

// fill decodes what the reader below holds.
func (u *utf16Reader) fill() {
	u.all = u.all[:0]
	defer func() { u.buf = u.all }()
	for len(u.all) < 1<<12 {
		c, ok := u.unit()
		if !ok {
			return
		}
		r := rune(c)
		if utf16.IsSurrogate(r) {
			if next, err := u.r.Peek(2); err == nil {
				if pair := utf16.DecodeRune(r, rune(u.order.Uint16(next))); pair != utf8.RuneError {
					u.r.Discard(2)
					r = pair
				}
			}
		}
		if utf16.IsSurrogate(r) {
			u.all = append(u.all, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
			continue
		}
		u.all = utf8.AppendRune(u.all, r)
	}
}

// unit reads one number of 16 bits.
func (u *utf16Reader) unit() (uint16, bool) {
	b, err := u.r.Peek(2)
	switch {
	case err == nil:
		u.r.Discard(2)
		return u.order.Uint16(b), true
	case err == io.EOF && len(b) == 1:
		u.err = errHalf
	case err == io.EOF:
		u.err = io.EOF
	default:
		u.err = explain(err)
	}
	return 0, false
}

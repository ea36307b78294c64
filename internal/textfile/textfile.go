// Package textfile reads large text files, compressed or not, line by line or
// record by record, in memory that a broken or hostile file cannot drive up.
package textfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/trirank/trirank/internal/regular"
)

// ErrTooLong says that a line or a record is over its limit.
var ErrTooLong = errors.New("it is too long")

// ErrNUL is of bytes that no text has.
var ErrNUL = errors.New("it has NUL bytes: it is no text, or UTF-16 without a byte order mark (save it as UTF-8)")

// maxWindow is what zstd --long asks of a decoder. A frame that wants more is
// refused, so that the header of a small file cannot claim all memory.
const maxWindow = 1 << 27

// File is an open text file; its bytes come decompressed, in UTF-8 and without a
// byte order mark.
type File struct {
	r        *bufio.Reader
	close    []func() error
	encoding string
}

// Open opens the regular file at path, which may be compressed by gzip or zstd; its
// first bytes tell, not its name.
func Open(path string) (*File, error) { return open(path, regular.Open) }

// OpenOnce is Open for a file that is read once, from its beginning to its end, and may
// be a pipe that the program was started with.
func OpenOnce(path string) (*File, error) { return open(path, regular.OpenOnce) }

func open(path string, open func(path string) (*os.File, error)) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	t, err := New(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.close = append(t.close, f.Close)
	return t, nil
}

// New is Open for a stream, which stays the caller's to close.
func New(r io.Reader) (*File, error) {
	t := &File{r: bufio.NewReaderSize(r, 1<<16)}
	magic, err := t.r.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(t.r)
		if err != nil {
			return nil, explain(err)
		}
		t.r, t.close = bufio.NewReaderSize(z, 1<<16), append(t.close, z.Close)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(t.r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, explain(err)
		}
		t.r, t.close = bufio.NewReaderSize(z, 1<<16), append(t.close, func() error { z.Close(); return nil })
	}
	t.encoding = "UTF-8"
	switch mark, _ := t.r.Peek(3); {
	case string(mark) == "\xef\xbb\xbf":
		t.r.Discard(3)
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}):
		t.decode("UTF-16 LE", binary.LittleEndian)
	case bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		t.decode("UTF-16 BE", binary.BigEndian)
	}
	return t, nil
}

// decode makes UTF-8 of what follows a mark of UTF-16.
func (t *File) decode(encoding string, order binary.ByteOrder) {
	t.encoding = encoding
	t.r.Discard(2)
	t.r = bufio.NewReaderSize(&utf16Reader{r: t.r, order: order}, 1<<16)
}

// Encoding is what the file is written in: UTF-8, UTF-16 LE or UTF-16 BE.
func (t *File) Encoding() string { return t.encoding }

// Read reads decompressed bytes.
func (t *File) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	return n, explain(err)
}

// Peek returns the first bytes that Read will return, up to 64 KiB.
func (t *File) Peek() []byte {
	b, _ := t.r.Peek(1 << 16)
	return b
}

// Close closes the file.
func (t *File) Close() error {
	var errs []error
	for _, c := range t.close {
		errs = append(errs, c())
	}
	t.close = nil
	return errors.Join(errs...)
}

// Legible refuses a file, by its beginning, that is no text, for which every parser
// would have an error that helps nobody.
func Legible(start []byte) error {
	switch {
	case len(bytes.TrimSpace(start)) == 0:
		return errors.New("it is empty")
	case bytes.HasPrefix(start, []byte("PAR1")):
		return errors.New("it is a Parquet file, and text is wanted")
	case bytes.IndexByte(start, 0) >= 0:
		return ErrNUL
	}
	return nil
}

// explain says in plain words what decompressors report.
func explain(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file is cut off: %w (fetch or make it again)", err)
	}
	return err
}

// Lines reads lines of at most a given length.
type Lines struct {
	r      *bufio.Reader
	max    int
	buf    []byte
	number int
}

// NewLines returns a reader of the lines of r; a line over max bytes is passed
// over and reported.
func NewLines(r io.Reader, max int) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 1<<16), max: max}
}

// Number is the number of the line read last, from 1.
func (l *Lines) Number() int { return l.number }

// Next returns the next line without its end; it is valid until the next call.
// At the end the error is io.EOF. After ErrTooLong reading may go on.
func (l *Lines) Next() ([]byte, error) {
	l.buf = l.buf[:0]
	for first, long := true, false; ; first = false {
		part, err := l.r.ReadSlice('\n')
		if first && (len(part) > 0 || err == nil) {
			l.number++
		}
		if len(l.buf)+len(part) > l.max+2 {
			long = true
			l.buf = nil // gives back what a huge line took
		}
		if !long {
			l.buf = append(l.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && first && len(part) == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case long:
			return nil, fmt.Errorf("%w: over %d bytes in one line", ErrTooLong, l.max)
		}
		line := bytes.TrimSuffix(l.buf, []byte("\n"))
		return bytes.TrimSuffix(line, []byte("\r")), nil
	}
}

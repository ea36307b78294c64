// Package npy reads and writes NumPy's .npy files of float32 matrices in C
// order (format 1.0), the only kind trirank uses. Matrices are read by memory
// map, so that one larger than memory costs only the pages looked at.
//
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
package npy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/trirank/trirank/internal/regular"
)

const magic = "\x93NUMPY\x01\x00"

// maxHeader is more than any header of a float32 matrix has.
const maxHeader = 1 << 12

// Header returns the bytes that come before the values of a matrix. Its length
// does not depend on rows, so that it can be rewritten when rows are added.
func Header(rows, cols int) []byte {
	dict := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", rows, cols)
	const total = 128 // magic, length, dict, spaces, newline; a multiple of 64
	dict += strings.Repeat(" ", total-len(magic)-2-1-len(dict)) + "\n"
	return append(binary.LittleEndian.AppendUint16([]byte(magic), uint16(len(dict))), dict...)
}

// Writer writes a matrix whose number of rows is known in advance.
type Writer struct {
	w          *bufio.Writer
	rows, cols int
}

// NewWriter writes the header of a matrix to w; WriteRows, then Close, follow.
func NewWriter(w io.Writer, rows, cols int) (*Writer, error) {
	b := bufio.NewWriterSize(w, 1<<20)
	if _, err := b.Write(Header(rows, cols)); err != nil {
		return nil, err
	}
	return &Writer{w: b, rows: rows, cols: cols}, nil
}

// WriteRows appends whole rows.
func (w *Writer) WriteRows(values []float32) error {
	if len(values)%w.cols != 0 || len(values)/w.cols > w.rows {
		return fmt.Errorf("npy: %d values do not fit the %d rows of %d that are left", len(values), w.rows, w.cols)
	}
	w.rows -= len(values) / w.cols
	_, err := w.w.Write(Bytes(values))
	return err
}

// Close writes what is buffered and checks that no row is missing. It does not
// close the underlying writer.
func (w *Writer) Close() error {
	if w.rows != 0 {
		return fmt.Errorf("npy: %d rows are missing", w.rows)
	}
	return w.w.Flush()
}

// Bytes returns the memory of values, which is what a .npy file holds of them on
// a little-endian machine.
func Bytes(values []float32) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values))
}

var shape = regexp.MustCompile(`^\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d+), (\d+)\), \}\s*$`)

// parseHeader returns the shape of a matrix and where its values begin.
func parseHeader(b []byte) (rows, cols, start int, err error) {
	if len(b) < len(magic)+2 || string(b[:len(magic)]) != magic {
		return 0, 0, 0, errors.New("it is not a .npy file of format 1.0")
	}
	n := int(binary.LittleEndian.Uint16(b[len(magic):]))
	start = len(magic) + 2 + n
	if n > maxHeader || start > len(b) {
		return 0, 0, 0, errors.New("its header is cut off")
	}
	m := shape.FindStringSubmatch(string(b[len(magic)+2 : start]))
	if m == nil {
		return 0, 0, 0, fmt.Errorf("it is not a float32 matrix in C order: %.100q", b[len(magic)+2:start])
	}
	rows, err1 := strconv.Atoi(m[1])
	cols, err2 := strconv.Atoi(m[2])
	if err := errors.Join(err1, err2); err != nil || cols < 1 || cols > 1<<16 || rows > math.MaxUint32 {
		return 0, 0, 0, fmt.Errorf("its shape (%s, %s) is out of range", m[1], m[2])
	}
	if start%4 != 0 {
		return 0, 0, 0, errors.New("its values are not aligned")
	}
	return rows, cols, start, nil
}

// Matrix is a memory-mapped .npy file. Values must not be written to, nor used
// after Close.
type Matrix struct {
	Rows, Cols int
	Values     []float32 // Rows*Cols, row by row
	mapped     []byte
}

// Row returns row i, without copying.
func (m *Matrix) Row(i int) []float32 { return m.Values[i*m.Cols : (i+1)*m.Cols] }

// Close unmaps the file; closing twice is harmless.
func (m *Matrix) Close() error {
	b := m.mapped
	m.mapped, m.Values = nil, nil
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

// Open maps the file at path. The size of the file must be what its header says.
func Open(path string) (_ *Matrix, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot open matrix %s: %w", path, err)
		}
	}()
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 || !info.Mode().IsRegular() {
		return nil, errors.New("it is empty or not a plain file")
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	m := &Matrix{mapped: b}
	var start int
	if m.Rows, m.Cols, start, err = parseHeader(b[:min(len(b), maxHeader+len(magic)+2)]); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if want := start + 4*m.Rows*m.Cols; len(b) != want {
		return nil, errors.Join(fmt.Errorf("it has %d bytes where its header promises %d", len(b), want), m.Close())
	}
	if n := m.Rows * m.Cols; n > 0 {
		m.Values = unsafe.Slice((*float32)(unsafe.Pointer(&b[start])), n)
	}
	return m, nil
}

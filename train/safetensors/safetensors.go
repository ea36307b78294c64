// Package safetensors reads and writes safetensors files of 32-bit floats: named
// tensors and a little text, without anything that could run.
//
// Files hold the length of a header in 8 bytes, little-endian, the header as JSON,
// and the values of all tensors, row by row, without gaps.
//
// Format: https://huggingface.co/docs/safetensors/index#format
package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
)

// Tensor is an array of any number of dimensions.
type Tensor struct {
	Name string
	// Shape has the length of each dimension; none is a single number, and a
	// length of 0 a tensor without values.
	Shape []int
	// Values are in row-major order, as many as Shape says, and finite.
	Values []float32
}

const (
	maxHeader   = 100_000_000 // bytes; the limit of the reference implementation
	maxDims     = 64          // the limit of NumPy
	metadataKey = "__metadata__"
	float32Name = "F32"
)

// byteSize returns the number of bytes that a tensor of the given shape takes.
func byteSize(shape []int) (int64, error) {
	if len(shape) > maxDims {
		return 0, fmt.Errorf("it has %d dimensions, and %d are the most that is read", len(shape), maxDims)
	}
	n := int64(4)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("its shape %v has a negative length", shape)
		}
		if d > 0 && n > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("its shape %v is larger than any file", shape)
		}
		n *= int64(d)
	}
	return n, nil
}

func check(t *Tensor) error {
	if t.Name == metadataKey {
		return fmt.Errorf("a tensor cannot be called %q; give it another name", metadataKey)
	}
	if !utf8.ValidString(t.Name) {
		return fmt.Errorf("the name %.80q is not UTF-8", t.Name)
	}
	n, err := byteSize(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %.80q: %w", t.Name, err)
	}
	if n != 4*int64(len(t.Values)) {
		return fmt.Errorf("tensor %.80q has %d values where its shape %v takes %d", t.Name, len(t.Values), t.Shape, n/4)
	}
	return finite(t.Name, t.Values)
}

// finite refuses what no weight may be: a training that made such a value has failed,
// and one that starts from it will.
func finite(name string, values []float32) error {
	for i, v := range values {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("value %d of tensor %.80q is %v; only finite values are kept", i, name, v)
		}
	}
	return nil
}

// Write makes or replaces the file at path; a reader or a crash sees the old one or
// the new one. The same tensors and metadata make the same bytes, whatever the order
// of tensors: those of the reference implementation in Python.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return Encode(w, tensors, metadata) })
	if err != nil {
		return fmt.Errorf("cannot write tensors to %s: %w", path, err)
	}
	return nil
}

// Sum returns the size and hash of the file that Write makes.
func Sum(tensors []Tensor, metadata map[string]string) (checksum.File, error) {
	w := checksum.NewWriter(io.Discard)
	err := Encode(w, tensors, metadata)
	return w.Sum(), err
}

// Encode writes to w what Write writes to a file. If a tensor is not as it should be,
// nothing is written.
func Encode(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	for i := range tensors {
		if err := check(&tensors[i]); err != nil {
			return err
		}
		if i > 0 && tensors[i-1].Name == tensors[i].Name {
			return fmt.Errorf("two tensors are called %.80q; give each a name of its own", tensors[i].Name)
		}
	}
	text, err := header(tensors, metadata)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, chunk)
	if _, err := out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
		return err
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	for _, t := range tensors {
		for _, v := range t.Values {
			if out.Available() < 4 {
				if err := out.Flush(); err != nil {
					return err
				}
			}
			// The buffer's own memory: nothing is copied.
			if _, err := out.Write(binary.LittleEndian.AppendUint32(out.AvailableBuffer(), math.Float32bits(v))); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// header returns the header of sorted tensors: metadata first, as the reference
// implementation has it, and spaces behind so that values lie at a multiple of 8.
func header(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(metadata) > 0 {
		fmt.Fprintf(&b, "%s:{", quote(metadataKey))
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			value := metadata[key]
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, fmt.Errorf("metadata %.80q: %.80q is not UTF-8", key, value)
			}
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%s:%s", quote(key), quote(value))
		}
		b.WriteByte('}')
	}
	end := int64(0)
	for i, t := range tensors {
		if i > 0 || len(metadata) > 0 {
			b.WriteByte(',')
		}
		start := end
		end += 4 * int64(len(t.Values))
		shape, err := json.Marshal(append([]int{}, t.Shape...)) // never null
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, quote(t.Name), float32Name, shape, start, end)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, fmt.Errorf("the header would have %d bytes, and readers take %d; write fewer tensors or less metadata", b.Len(), maxHeader)
	}
	return b.Bytes(), nil
}

// quote returns s as JSON has it, with <, > and & as they are. S is UTF-8.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string never fails
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Read returns the tensors of the file at path in order of name, and its metadata,
// which is nil if it has none. Only files that are right in every respect are read,
// and only tensors of finite 32-bit floats.
func Read(path string) ([]Tensor, map[string]string, error) {
	return readFile(path, unchecked{})
}

// readFile reads the file at path and has check look at every byte of it.
func readFile(path string, check checker) ([]Tensor, map[string]string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read tensors: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read tensors of %s: %w", path, err)
	}
	tensors, metadata, err := read(f, info.Size(), check)
	if err != nil {
		return nil, metadata, fmt.Errorf("cannot read tensors of %s: %w", path, err)
	}
	return tensors, metadata, nil
}

// Decode is Read for a file in memory. It keeps nothing of b.
func Decode(b []byte) ([]Tensor, map[string]string, error) {
	return ReadFrom(bytes.NewReader(b), int64(len(b)))
}

// chunk is how many bytes are converted at a time.
const chunk = 1 << 16

// ReadFrom is Read for the first size bytes of r, which must be all of a file. It
// takes about as much memory as r has bytes.
func ReadFrom(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	return read(r, size, unchecked{})
}

// checker compares the bytes of a file with a checksum, as they are read.
type checker interface {
	header(b []byte) error // the length and the header
	data(b []byte)         // the next part of what follows
	end() error            // all was read
}

type unchecked struct{}

func (unchecked) header([]byte) error { return nil }
func (unchecked) data([]byte)         {}
func (unchecked) end() error          { return nil }

// read reads each byte once. The metadata comes with an error too, once it was read.
func read(r io.ReaderAt, size int64, check checker) ([]Tensor, map[string]string, error) {
	if size < 8 {
		return nil, nil, fmt.Errorf("it has %d bytes, too few for a safetensors file", size)
	}
	var length [8]byte
	if err := readAt(r, length[:], 0); err != nil {
		return nil, nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, nil, fmt.Errorf("it promises a header of %d bytes and has %d in all (the most is %d); it is cut off, or no safetensors file", n, size, maxHeader)
	}
	text := append(length[:], make([]byte, n)...)
	if err := readAt(r, text[8:], 8); err != nil {
		return nil, nil, err
	}
	entries, metadata, err := parseHeader(text[8:])
	if err != nil {
		return nil, nil, fmt.Errorf("its header is wrong: %w", err)
	}
	if err := check.header(text); err != nil {
		return nil, metadata, err
	}
	start := 8 + int64(n)
	if err := checkPlaces(entries, size-start); err != nil {
		return nil, metadata, err
	}
	tensors := make([]Tensor, 0, len(entries))
	buffer := make([]byte, min(chunk, size-start))
	for _, e := range entries {
		values := make([]float32, 0, (e.to-e.from)/4)
		for at := e.from; at < e.to; {
			part := buffer[:min(int64(len(buffer)), e.to-at)&^3]
			if err := readAt(r, part, start+at); err != nil {
				return nil, metadata, err
			}
			check.data(part)
			for i := 0; i < len(part); i += 4 {
				values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(part[i:])))
			}
			at += int64(len(part))
		}
		tensors = append(tensors, Tensor{Name: e.name, Shape: e.shape, Values: values})
	}
	if err := check.end(); err != nil {
		return nil, metadata, err
	}
	for _, t := range tensors {
		if err := finite(t.Name, t.Values); err != nil {
			return nil, metadata, err
		}
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	return tensors, metadata, nil
}

// readAt fills b. A file that ends before its size says is an error.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at byte %d: %w", len(b), at, err)
}

// entry is what the header says of a tensor.
type entry struct {
	name     string
	shape    []int
	from, to int64 // where its values lie behind the header
}

// checkPlaces sorts entries by place and makes sure that together they fill the size
// bytes of data: each byte belongs to one tensor.
func checkPlaces(entries []entry, size int64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	end := int64(0)
	for _, e := range entries {
		if e.from != end {
			return fmt.Errorf("tensor %.80q begins at byte %d of the data where the one before ends at %d", e.name, e.from, end)
		}
		if e.to > size {
			return fmt.Errorf("tensor %.80q ends at byte %d of the data, which has %d; the file is cut off", e.name, e.to, size)
		}
		end = e.to
	}
	if end != size {
		return fmt.Errorf("its data has %d bytes of which no tensor says what they are", size-end)
	}
	return nil
}

func parseHeader(b []byte) (entries []entry, metadata map[string]string, err error) {
	if !utf8.Valid(b) {
		return nil, nil, errors.New("it is not UTF-8")
	}
	if len(b) == 0 || b[0] != '{' {
		return nil, nil, fmt.Errorf("it begins with %.20q and not with a brace; this is no safetensors file", b)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // places do not pass through floats
	err = object(d, func(key string) error {
		if key == metadataKey {
			metadata = map[string]string{}
			return object(d, func(key string) (err error) {
				metadata[key], err = next[string](d, "text")
				return err
			})
		}
		e := entry{name: key}
		if err := e.parse(d); err != nil {
			return fmt.Errorf("tensor %.80q: %w", key, err)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if rest := bytes.Trim(b[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, nil, fmt.Errorf("it goes on after its end: %.20q", rest)
	}
	return entries, metadata, nil
}

func (e *entry) parse(d *json.Decoder) error {
	var kind string
	var places []int
	var seen int
	err := object(d, func(key string) (err error) {
		seen++
		switch key {
		case "dtype":
			kind, err = next[string](d, "text")
		case "shape":
			e.shape, err = integers(d, maxDims)
		case "data_offsets":
			places, err = integers(d, 2)
		default:
			err = fmt.Errorf("%.80q is not known", key)
		}
		if err != nil {
			return fmt.Errorf("%.80s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seen != 3 { // each at most once, and nothing else
		return errors.New("it takes dtype, shape and data_offsets, and not all are there")
	}
	if kind != float32Name {
		return fmt.Errorf("its values are %.20s; only %s is read, so convert the file to 32-bit floats", kind, float32Name)
	}
	if len(places) != 2 || places[0] > places[1] {
		return fmt.Errorf("data_offsets %v is no begin and end", places)
	}
	e.from, e.to = int64(places[0]), int64(places[1])
	n, err := byteSize(e.shape)
	if err != nil {
		return err
	}
	if n != e.to-e.from {
		return fmt.Errorf("it has %d bytes where its shape %v takes %d", e.to-e.from, e.shape, n)
	}
	return nil
}

// object reads a JSON object and calls value for each key, which has to read what
// belongs to it. A key that comes twice is an error, unlike in encoding/json: readers
// differ in which they take.
func object(d *json.Decoder, value func(key string) error) error {
	if err := delimiter(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := next[string](d, "a name")
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%.80q is there twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	return delimiter(d, '}')
}

// integers reads a JSON array of at most most integers from 0.
func integers(d *json.Decoder, most int) ([]int, error) {
	if err := delimiter(d, '['); err != nil {
		return nil, err
	}
	out := []int{}
	for d.More() {
		n, err := next[json.Number](d, "a number")
		if err != nil {
			return nil, err
		}
		v, err := strconv.ParseUint(n.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%.40s is not a whole number from 0 to 2^63-1", n)
		}
		if len(out) == most {
			return nil, fmt.Errorf("there are more than %d numbers", most)
		}
		out = append(out, int(v))
	}
	return out, delimiter(d, ']')
}

func delimiter(d *json.Decoder, want json.Delim) error {
	got, err := next[json.Delim](d, strconv.QuoteRune(rune(want)))
	if err == nil && got != want {
		err = fmt.Errorf("%v where %v belongs, before byte %d", got, want, d.InputOffset())
	}
	return err
}

// next reads a token of the kind T, which is called what.
func next[T any](d *json.Decoder, what string) (T, error) {
	token, err := d.Token()
	if err != nil {
		var none T
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return none, fmt.Errorf("its JSON is broken before byte %d: %w", d.InputOffset(), err)
	}
	v, ok := token.(T)
	if !ok {
		return v, fmt.Errorf("%.40q where %s belongs, before byte %d", fmt.Sprint(token), what, d.InputOffset())
	}
	return v, nil
}

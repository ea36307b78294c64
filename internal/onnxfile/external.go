package onnxfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/internal/regular"
)

// Field numbers of onnx.proto that only this file needs.
const (
	tensorFloats    = 4
	tensorInts      = 5
	tensorStrings   = 6
	tensorLongs     = 7
	tensorDoubles   = 10
	tensorUnsigned  = 11
	tensorExternal  = 13
	tensorLocation  = 14
	entryKey        = 1
	entryValue      = 2
	locatedExternal = 1
)

// message is a kind of message that may hold tensors.
type message int

const (
	modelMessage message = iota
	trainingMessage
	graphMessage
	functionMessage
	nodeMessage
	attributeMessage
	sparseMessage
	tensorMessage
)

// inside says which fields of a message are messages that hold tensors, or are some:
// the weights of a graph, those of the bodies of If and Loop and of functions, constants,
// and the two parts of a sparse tensor.
var inside = map[message]map[protowire.Number]message{
	modelMessage:     {ModelGraph: graphMessage, 20: trainingMessage, ModelFunctions: functionMessage},
	trainingMessage:  {1: graphMessage, 2: graphMessage},
	graphMessage:     {GraphNode: nodeMessage, GraphInitializer: tensorMessage, 15: sparseMessage},
	functionMessage:  {FunctionNode: nodeMessage, 11: attributeMessage},
	nodeMessage:      {NodeAttribute: attributeMessage},
	attributeMessage: {AttributeTensor: tensorMessage, AttributeGraph: graphMessage, 10: tensorMessage, AttributeGraphs: graphMessage, 22: sparseMessage, 23: sparseMessage},
	sparseMessage:    {1: tensorMessage, 2: tensorMessage},
}

// single lists the fields that may be there once. The parsers of protocol buffers merge
// two of them, and a tensor that half lies in each would be seen by them alone.
var single = map[message][]protowire.Number{
	modelMessage:     {ModelGraph},
	trainingMessage:  {1, 2},
	attributeMessage: {AttributeTensor, AttributeGraph, 22},
	sparseMessage:    {1, 2},
}

// deepest is how far messages may be nested, as in Google's parsers.
const deepest = 100

// each calls do for each field of the message b[from:to] of the given kind, with what
// kind of message the field is, if it may hold tensors.
func each(b []byte, kind message, from, to int, do func(x Field, kind message, nested bool) error) error {
	seen := map[protowire.Number]bool{}
	return Fields(b, from, to, func(x Field) error {
		child, nested := inside[kind][x.Number]
		nested = nested && x.Bytes
		if nested && slices.Contains(single[kind], x.Number) {
			if seen[x.Number] {
				return ErrDamaged
			}
			seen[x.Number] = true
		}
		return do(x, child, nested)
	})
}

// tensors calls do for each tensor of the message b[from:to], wherever it is.
func tensors(b []byte, kind message, from, to, depth int, do func(from, to int) error) error {
	if depth > deepest {
		return ErrDamaged
	}
	if kind == tensorMessage {
		return do(from, to)
	}
	return each(b, kind, from, to, func(x Field, kind message, nested bool) error {
		if !nested {
			return nil
		}
		return tensors(b, kind, x.From, x.To, depth+1, do)
	})
}

// unbounded are operators that repeat a body as often as a value says that is only known
// when they run: for ever, if it says so.
var unbounded = []string{"Loop", "Scan"}

// loops returns an error if there is a loop anywhere in the message b[from:to]. Networks
// that embed texts have none.
func loops(b []byte, kind message, from, to, depth int) error {
	if depth > deepest {
		return ErrDamaged
	}
	return each(b, kind, from, to, func(x Field, kind message, nested bool) error {
		if !nested || kind == tensorMessage || kind == sparseMessage {
			return nil
		}
		if kind == nodeMessage {
			n, err := ReadNode(b, x.From, x.To)
			if err != nil {
				return err
			}
			if slices.Contains(unbounded, n.Op) && (n.Domain == "" || n.Domain == "ai.onnx") {
				return fmt.Errorf("node %.80q is a %s, and nobody can tell whether it ends (export the model without loops)", n.Name, n.Op)
			}
		}
		return loops(b, kind, x.From, x.To, depth+1)
	})
}

// external is where the values of a tensor lie outside the file.
type external struct {
	tensor string // its name
	file   string // a plain name, in the folder of the file
	offset int64
	length int64
}

// readExternal reads where the values of the TensorProto b[from:to] lie, if that is
// outside the file.
func readExternal(b []byte, from, to int) (e external, outside bool, err error) {
	entries := map[string]string{}
	err = Fields(b, from, to, func(x Field) error {
		switch {
		case x.Number == tensorLocation && !x.Bytes && x.Value == locatedExternal:
			outside = true // also if the field comes again: see single
		case x.Number == tensorExternal && x.Bytes:
			key, value := "", ""
			err := Fields(b, x.From, x.To, func(x Field) error {
				switch {
				case x.Number == entryKey && x.Bytes:
					key = string(b[x.From:x.To])
				case x.Number == entryValue && x.Bytes:
					value = string(b[x.From:x.To])
				}
				return nil
			})
			if _, twice := entries[key]; twice && err == nil {
				err = ErrDamaged
			}
			entries[key] = value
			return err
		}
		return nil
	})
	if err != nil || !outside {
		return e, false, err
	}
	t, err := ReadTensor(b, from, to)
	if err != nil {
		return e, false, err
	}
	e.tensor, e.file = t.Name, entries["location"]
	// ONNX Runtime takes other paths, and one that says "memory" for an address.
	if e.file == "" || e.file == "." || filepath.Base(e.file) != e.file || !filepath.IsLocal(e.file) || strings.ContainsRune(e.file, 0) {
		return e, false, fmt.Errorf("weight %.80q lies in %.200q, which is no plain name of a file in the model's folder (export the model with its weights beside it, as in model.onnx_data)", e.tensor, e.file)
	}
	size, err := t.bytes()
	if err != nil {
		return e, false, err
	}
	e.length = size
	for key, to := range map[string]*int64{"offset": &e.offset, "length": &e.length} {
		if s, ok := entries[key]; ok {
			n, err := strconv.ParseUint(s, 10, 63)
			if err != nil {
				return e, false, fmt.Errorf("weight %.80q lies in %s at the %s %.40q, which is no number of bytes (export the model again)", e.tensor, e.file, key, s)
			}
			*to = int64(n)
		}
	}
	if e.length != size {
		return e, false, fmt.Errorf("weight %.80q has %d bytes in %s, and %d by its dimensions %v (export the model again)", e.tensor, e.length, e.file, size, t.Dims)
	}
	return e, true, nil
}

// bits is the size of a value of each type of tensor; text has none.
var bits = map[uint64]int64{
	1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
	17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}

// bytes is how many bytes the values of t take in raw form.
func (t *Tensor) bytes() (int64, error) {
	size, ok := bits[t.Type]
	if !ok {
		return 0, fmt.Errorf("weight %.80q lies outside the file and is of type %d, which cannot", t.Name, t.Type)
	}
	for _, d := range t.Dims {
		if d < 0 || d > 0 && size > math.MaxInt64/2/int64(d) {
			return 0, fmt.Errorf("weight %.80q has the dimensions %v", t.Name, t.Dims)
		}
		size *= int64(d)
	}
	return (size + 7) / 8, nil
}

// externals returns where all tensors of the model b lie that do so outside it.
func externals(b []byte) (out []external, err error) {
	err = tensors(b, modelMessage, 0, len(b), 0, func(from, to int) error {
		e, outside, err := readExternal(b, from, to)
		if outside {
			out = append(out, e)
		}
		return err
	})
	return out, err
}

// check reports whether the bytes of e are there, in a file of the folder dir.
func (e *external) check(dir string) error {
	path := filepath.Join(dir, e.file)
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("weight %.80q lies in %s, which is not there (copy the file from where the model comes from into the model's folder)", e.tensor, e.file)
	}
	if err != nil {
		return err
	}
	folder, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if filepath.Dir(real) != folder {
		return fmt.Errorf("weight %.80q lies in %s, a link that leads out of the model's folder (put the file itself there)", e.tensor, e.file)
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("weight %.80q lies in %s, which is no file", e.tensor, e.file)
	}
	if e.offset > info.Size() || e.length > info.Size()-e.offset {
		return fmt.Errorf("weight %.80q lies in %d bytes of %s from byte %d on, which has %d: it was cut off, or is of another model (copy it again)", e.tensor, e.length, e.file, e.offset, info.Size())
	}
	return nil
}

// Network is what a file and those that it names say before it is run.
type Network struct {
	// Files are those that its weights lie in besides it, in the same folder: in order,
	// each once. All weights have been found to be there.
	Files []string
	// Bytes is how many the file would have with all weights in it.
	Bytes int64
	// Positions is how many tokens a text may have, by the table of the embeddings of
	// positions; 0 if there is none under a known name.
	Positions int
}

// Inspect reads the file at path, but no weights.
func Inspect(path string) (*Network, error) {
	b, err := mapped(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if len(b) > 0 {
			unix.Munmap(b)
		}
	}()
	list, err := externals(b)
	if err == nil {
		err = loops(b, modelMessage, 0, len(b), 0)
	}
	if err != nil {
		return nil, err
	}
	n := &Network{Bytes: int64(len(b))}
	for _, e := range list {
		n.Bytes += e.length
		if err := e.check(filepath.Dir(path)); err != nil {
			return nil, err
		}
		n.Files = append(n.Files, e.file)
	}
	slices.Sort(n.Files)
	n.Files = slices.Compact(n.Files)
	n.Positions, err = positions(b)
	return n, err
}

// mapped returns the bytes of a file without reading those that nobody looks at.
func mapped(path string) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Size() > MaxFile:
		return nil, errTooLarge
	case info.Size() == 0:
		return nil, nil
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
}

// positions finds how many tokens a text may have. Exporters keep the name that the table
// has in the libraries that the networks are written with.
func positions(b []byte) (rows int, err error) {
	counted := false
	err = Graph(b, func(x Field) error {
		switch x.Number {
		case GraphInitializer:
			t, err := ReadTensor(b, x.From, x.To)
			if err == nil && strings.Contains(t.Name, "position_embeddings") && len(t.Dims) == 2 && t.Dims[1] > 1 && (rows == 0 || t.Dims[0] < rows) {
				rows = t.Dims[0]
			}
			return err
		case GraphNode:
			n, err := ReadNode(b, x.From, x.To)
			counted = counted || n.Op == "CumSum"
			return err
		}
		return nil
	})
	// RoBERTa and those like it count the tokens that are no padding, from the number
	// after padding's, 1, on: a table of 514 rows is for 512 tokens.
	if usable := rows - 2; counted && usable > 0 && usable&(usable-1) == 0 {
		rows = usable
	}
	return max(rows, 0), err
}

var errTooLarge = errors.New("the file is larger than 2 GB")

// inline returns a copy of the model b in which the weights that lie outside it are
// within; b itself if there are none.
func inline(b []byte, read func(e external) ([]byte, error)) ([]byte, error) {
	list, err := externals(b)
	if err != nil || len(list) == 0 {
		return b, err
	}
	size := int64(len(b))
	for _, e := range list {
		if size += e.length; size > MaxFile {
			return nil, errors.New("with the weights that lie beside it, it is larger than 2 GB")
		}
	}
	return inlined(b, modelMessage, 0, len(b), read)
}

// inlined writes the message b[from:to] anew; its depth was checked by externals.
func inlined(b []byte, kind message, from, to int, read func(e external) ([]byte, error)) (out []byte, err error) {
	if kind == tensorMessage {
		return inlinedTensor(b, from, to, read)
	}
	err = each(b, kind, from, to, func(x Field, kind message, nested bool) error {
		if !nested {
			out = append(out, b[x.Start:x.End]...)
			return nil
		}
		m, err := inlined(b, kind, x.From, x.To, read)
		out = AppendBytes(out, x.Number, m)
		return err
	})
	return out, err
}

func inlinedTensor(b []byte, from, to int, read func(e external) ([]byte, error)) (out []byte, err error) {
	e, outside, err := readExternal(b, from, to)
	if err != nil || !outside {
		return b[from:to], err
	}
	err = Fields(b, from, to, func(x Field) error {
		switch x.Number {
		case tensorExternal, tensorLocation, TensorRaw, tensorFloats, tensorInts, tensorStrings, tensorLongs, tensorDoubles, tensorUnsigned:
		default:
			out = append(out, b[x.Start:x.End]...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	raw, err := read(e)
	return AppendBytes(out, TensorRaw, raw), err
}

// reader reads weights from the files of a folder; the caller closes it.
type reader struct {
	dir  string
	open map[string]*os.File
}

func (r *reader) read(e external) ([]byte, error) {
	if err := e.check(r.dir); err != nil {
		return nil, err
	}
	f := r.open[e.file]
	if f == nil {
		var err error
		if f, err = regular.Open(filepath.Join(r.dir, e.file)); err != nil {
			return nil, err
		}
		r.open[e.file] = f
	}
	b := make([]byte, e.length)
	if _, err := f.ReadAt(b, e.offset); err != nil && e.length > 0 {
		return nil, fmt.Errorf("weight %.80q: %w", e.tensor, err)
	}
	return b, nil
}

func (r *reader) close() {
	for _, f := range r.open {
		f.Close()
	}
}

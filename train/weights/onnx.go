// Package weights reads the weights of a network from its ONNX file and writes
// changed ones into a copy of it. The graph is left alone, byte for byte: what ran
// the old weights runs the new ones.
package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/internal/atomicfile"
)

// Tensor is a matrix or vector of weights in a file.
type Tensor struct {
	// Name is the one that PyTorch gave it, such as
	// "encoder.layer.0.output.dense.weight". Exporters rename the matrices of
	// linear layers; their names are found by the nodes that use them.
	Name string
	Dims []int
	// from is where its values lie in the file, four bytes each, little-endian.
	from, to int
}

// Len returns the number of values.
func (t *Tensor) Len() int { return (t.to - t.from) / 4 }

// File is the weights of an ONNX file, in memory.
type File struct {
	Tensors []Tensor // in the order of the file
	bytes   []byte
}

// maxFile bounds what is read: the format itself ends at two gigabytes.
const maxFile = 2<<30 - 1

// Open reads an ONNX file. Only weights of 32-bit floats are listed.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read weights: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read weights of %s: %w", path, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("cannot read weights of %s: the file is larger than 2 GB", path)
	}
	out, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read weights of %s: %w", path, err)
	}
	return out, nil
}

// The field numbers of onnx.proto that matter here.
const (
	modelGraph       = 7
	graphNode        = 1
	graphInitializer = 5
	nodeInput        = 1
	nodeName         = 3
	nodeOp           = 4
	tensorDims       = 1
	tensorType       = 2
	tensorName       = 8
	tensorRaw        = 9
	float32Type      = 1
)

var errDamaged = errors.New("it is not an ONNX file, or a damaged one")

func parse(b []byte) (*File, error) {
	f := &File{bytes: b}
	matrices := map[string]string{} // initializer -> name found by its node
	err := fields(b, 0, len(b), func(x field) error {
		if x.number != modelGraph {
			return nil
		}
		return fields(b, x.from, x.to, func(x field) error {
			switch x.number {
			case graphInitializer:
				return f.initializer(x.from, x.to)
			case graphNode:
				return f.node(x.from, x.to, matrices)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if len(f.Tensors) == 0 {
		return nil, errors.New("it holds no weights of 32-bit floats")
	}
	seen := map[string]bool{}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if name, ok := matrices[t.Name]; ok {
			t.Name = name
		}
		if seen[t.Name] {
			return nil, fmt.Errorf("two weights are called %.80q", t.Name)
		}
		seen[t.Name] = true
	}
	return f, nil
}

// field is a field of a message in a file.
type field struct {
	number protowire.Number
	value  uint64 // if it is a number
	// Where its bytes lie, without and with what says which field it is.
	from, to   int
	start, end int
}

// fields calls do for each field of the message b[from:to].
func fields(b []byte, from, to int, do func(field) error) error {
	for from < to {
		whole := from
		number, kind, n := protowire.ConsumeTag(b[from:to])
		if n < 0 {
			return errDamaged
		}
		from += n
		var value uint64
		start, end := from, from
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b[from:to])
		case protowire.BytesType:
			var bytes []byte
			bytes, n = protowire.ConsumeBytes(b[from:to])
			start, end = from+n-len(bytes), from+n
		default:
			n = protowire.ConsumeFieldValue(number, kind, b[from:to])
		}
		if n < 0 {
			return errDamaged
		}
		from += n
		if err := do(field{number, value, start, end, whole, from}); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) initializer(from, to int) error {
	var t Tensor
	var kind uint64
	err := fields(f.bytes, from, to, func(x field) error {
		switch x.number {
		case tensorName:
			t.Name = string(f.bytes[x.from:x.to])
		case tensorType:
			kind = x.value
		case tensorRaw:
			t.from, t.to = x.from, x.to
		case tensorDims:
			for rest := f.bytes[x.from:x.to]; len(rest) > 0; { // packed
				v, n := protowire.ConsumeVarint(rest)
				if n < 0 {
					return errDamaged
				}
				t.Dims, rest = append(t.Dims, int(v)), rest[n:]
			}
			if x.value > 0 {
				t.Dims = append(t.Dims, int(x.value))
			}
		}
		return nil
	})
	if err != nil || kind != float32Type {
		return err
	}
	size := 4
	for _, d := range t.Dims {
		if d < 1 || d > maxFile || size > maxFile/d {
			return fmt.Errorf("weight %.80q has the dimensions %v", t.Name, t.Dims)
		}
		size *= d
	}
	if t.to-t.from != size {
		return fmt.Errorf("weight %.80q has %d bytes for the dimensions %v (weights beside the file, or not in raw form, are not supported)", t.Name, t.to-t.from, t.Dims)
	}
	f.Tensors = append(f.Tensors, t)
	return nil
}

// node finds the name of the matrix of a linear layer: the exporter of PyTorch calls
// it "onnx::MatMul_1525" but its node
// "/encoder/layer.0/attention/self/query/MatMul".
func (f *File) node(from, to int, names map[string]string) error {
	var inputs []string
	var name, op string
	err := fields(f.bytes, from, to, func(x field) error {
		text := string(f.bytes[x.from:x.to])
		switch x.number {
		case nodeInput:
			inputs = append(inputs, text)
		case nodeName:
			name = text
		case nodeOp:
			op = text
		}
		return nil
	})
	if path, ok := strings.CutSuffix(name, "/MatMul"); ok && op == "MatMul" && len(inputs) == 2 {
		names[inputs[1]] = strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".") + ".weight"
	}
	return err
}

// Find returns the tensor with the given name.
func (f *File) Find(name string) (*Tensor, bool) {
	i := slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return nil, false
	}
	return &f.Tensors[i], true
}

// Values returns a copy of the values of t, row by row.
func (f *File) Values(t *Tensor) []float32 {
	out := make([]float32, t.Len())
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(f.bytes[t.from+4*i:]))
	}
	return out
}

// Save writes a copy of the file in which the named tensors have other values.
// What is not named stays as it is. Values that are not finite are refused.
func (f *File) Save(path string, values map[string][]float32) error {
	b := slices.Clone(f.bytes)
	for name, v := range values {
		t, ok := f.Find(name)
		if !ok || len(v) != t.Len() {
			return fmt.Errorf("cannot save weights to %s: %q with %d values is not of this network", path, name, len(v))
		}
		for i, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("cannot save weights to %s: value %d of %s is %v", path, i, name, x)
			}
			binary.LittleEndian.PutUint32(b[t.from+4*i:], math.Float32bits(x))
		}
	}
	if err := atomicfile.WriteBytes(path, b); err != nil {
		return fmt.Errorf("cannot save weights to %s: %w", path, err)
	}
	return nil
}

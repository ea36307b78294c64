// Package weights reads the weights of a network from its ONNX file and writes
// changed ones into a copy of it. The graph is left alone, byte for byte: what ran
// the old weights runs the new ones.
package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/onnxfile"
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

// Open reads an ONNX file. Only weights of 32-bit floats are listed.
func Open(path string) (*File, error) {
	b, err := onnxfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read weights of %s: %w", path, err)
	}
	out, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read weights of %s: %w", path, err)
	}
	return out, nil
}

func parse(b []byte) (*File, error) {
	f := &File{bytes: b}
	matrices := map[string]string{} // initializer -> name found by its node
	err := onnxfile.Graph(b, func(x onnxfile.Field) error {
		switch x.Number {
		case onnxfile.GraphInitializer:
			return f.initializer(x)
		case onnxfile.GraphNode:
			return f.node(x, matrices)
		}
		return nil
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

func (f *File) initializer(x onnxfile.Field) error {
	t, err := onnxfile.ReadTensor(f.bytes, x.From, x.To)
	if err != nil || t.Type != onnxfile.Float32 {
		return err
	}
	if err := t.CheckFloats(); err != nil {
		return err
	}
	f.Tensors = append(f.Tensors, Tensor{t.Name, t.Dims, t.From, t.To})
	return nil
}

// node finds the name of the matrix of a linear layer: the exporter of PyTorch calls
// it "onnx::MatMul_1525" but its node
// "/encoder/layer.0/attention/self/query/MatMul".
func (f *File) node(x onnxfile.Field, names map[string]string) error {
	n, err := onnxfile.ReadNode(f.bytes, x.From, x.To)
	if path, ok := strings.CutSuffix(n.Name, "/MatMul"); ok && n.Op == "MatMul" && len(n.Inputs) == 2 {
		names[n.Inputs[1]] = strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".") + ".weight"
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

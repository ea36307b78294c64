// Package onnxfile reads and writes ONNX files as the messages and fields that they
// are made of, so that what a change does not touch stays as it is, byte for byte.
package onnxfile

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/internal/regular"
)

// MaxFile is the largest size of a file, in bytes: the format itself ends there.
const MaxFile = 2<<30 - 1

// Field numbers of onnx.proto.
const (
	ModelVersion   = 1
	ModelGraph     = 7
	ModelOpsets    = 8
	ModelFunctions = 25

	FunctionName      = 1
	FunctionInput     = 4
	FunctionOutput    = 5
	FunctionAttribute = 6
	FunctionNode      = 7
	FunctionOpsets    = 9
	FunctionDomain    = 10

	OpsetDomain  = 1
	OpsetVersion = 2

	GraphNode        = 1
	GraphInitializer = 5
	GraphInput       = 11
	GraphOutput      = 12

	NodeInput     = 1
	NodeOutput    = 2
	NodeName      = 3
	NodeOp        = 4
	NodeAttribute = 5
	NodeDomain    = 7

	AttributeName   = 1
	AttributeFloat  = 2
	AttributeInt    = 3
	AttributeTensor = 5
	AttributeGraph  = 6
	AttributeInts   = 8
	AttributeGraphs = 11
	AttributeType   = 20

	TensorDims = 1
	TensorType = 2
	TensorName = 8
	TensorRaw  = 9

	InfoName = 1
	InfoType = 2

	TypeTensor     = 1
	TypeTensorElem = 1
)

// Types of tensors.
const (
	Float32 = 1
	Uint8   = 2
	Int8    = 3
	Int64   = 7
)

// FunctionsVersion is the version of the format that brought functions.
const FunctionsVersion = 8

// Types of attributes: a whole number, a tensor, and a list of whole numbers.
const (
	attributeInt    = 2
	attributeTensor = 4
	attributeInts   = 7
)

// ErrDamaged is the error of bytes that are no messages.
var ErrDamaged = errors.New("it is not an ONNX file, or a damaged one")

// Read returns the bytes of the file at path, with the weights in it that lie in other
// files of its folder.
func Read(path string) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFile {
		return nil, errTooLarge
	}
	r := &reader{dir: filepath.Dir(path), open: map[string]*os.File{}}
	defer r.close()
	return inline(b, r.read)
}

// Field is a field of a message in a file.
type Field struct {
	Number protowire.Number
	Value  uint64 // if it is a whole number, or the bits of a 32-bit float
	Bytes  bool   // if it is text, a message, or a packed list
	// Where its bytes lie, without and with what says which field it is.
	From, To   int
	Start, End int
}

// Fields calls do for each field of the message b[from:to].
func Fields(b []byte, from, to int, do func(Field) error) error {
	for from < to {
		whole := from
		number, kind, n := protowire.ConsumeTag(b[from:to])
		if n < 0 {
			return ErrDamaged
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
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(b[from:to])
			value = uint64(bits)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b[from:to])
		}
		if n < 0 {
			return ErrDamaged
		}
		from += n
		if err := do(Field{number, value, kind == protowire.BytesType, start, end, whole, from}); err != nil {
			return err
		}
	}
	return nil
}

// Graph calls do for each field of the graph of the model b.
func Graph(b []byte, do func(Field) error) error {
	return Fields(b, 0, len(b), func(x Field) error {
		if x.Number != ModelGraph {
			return nil
		}
		return Fields(b, x.From, x.To, do)
	})
}

// Tensor is a TensorProto.
type Tensor struct {
	Name string
	Type uint64
	Dims []int
	// From and To are where its values lie in the file, if they are there in raw
	// form: little-endian.
	From, To int
}

// ReadTensor reads the TensorProto b[from:to].
func ReadTensor(b []byte, from, to int) (t Tensor, err error) {
	err = Fields(b, from, to, func(x Field) error {
		switch x.Number {
		case TensorName:
			t.Name = string(b[x.From:x.To])
		case TensorType:
			t.Type = x.Value
		case TensorRaw:
			t.From, t.To = x.From, x.To
		case TensorDims:
			return eachInt(b, x, func(v int64) { t.Dims = append(t.Dims, int(v)) })
		}
		return nil
	})
	return t, err
}

// eachInt calls do for the whole numbers of a list's field: all of them, packed, or one.
func eachInt(b []byte, x Field, do func(int64)) error {
	if !x.Bytes {
		do(int64(x.Value))
		return nil
	}
	for rest := b[x.From:x.To]; len(rest) > 0; {
		v, n := protowire.ConsumeVarint(rest)
		if n < 0 {
			return ErrDamaged
		}
		do(int64(v))
		rest = rest[n:]
	}
	return nil
}

// CheckFloats reports whether the tensor has the four bytes for each of its values,
// where From and To say.
func (t *Tensor) CheckFloats() error {
	size := 4
	for _, d := range t.Dims {
		if d < 1 || d > MaxFile || size > MaxFile/d {
			return fmt.Errorf("weight %.80q has the dimensions %v", t.Name, t.Dims)
		}
		size *= d
	}
	if t.To-t.From != size {
		return fmt.Errorf("weight %.80q has %d bytes for the dimensions %v (weights that are not in raw form are not supported)", t.Name, t.To-t.From, t.Dims)
	}
	return nil
}

// AppendTensor appends a TensorProto as a field of a message.
func AppendTensor(b []byte, field protowire.Number, name string, kind uint64, dims []int, raw []byte) []byte {
	return AppendBytes(b, field, tensor(name, kind, dims, raw))
}

func tensor(name string, kind uint64, dims []int, raw []byte) []byte {
	var t []byte
	for _, d := range dims {
		t = AppendNumber(t, TensorDims, uint64(d))
	}
	t = AppendNumber(t, TensorType, kind)
	t = AppendBytes(t, TensorName, name)
	return AppendBytes(t, TensorRaw, raw)
}

// AppendConstant appends the node of a constant as a field of a message.
func AppendConstant(b []byte, field protowire.Number, name string, kind uint64, dims []int, raw []byte) []byte {
	a := AppendBytes(AppendBytes(nil, AttributeName, "value"), AttributeTensor, tensor(name, kind, dims, raw))
	n := AppendBytes(AppendBytes(nil, NodeOutput, name), NodeOp, "Constant")
	return AppendBytes(b, field, AppendBytes(n, NodeAttribute, AppendNumber(a, AttributeType, attributeTensor)))
}

// Node is a NodeProto.
type Node struct {
	Name, Op, Domain string
	Inputs, Outputs  []string
	Ints             map[string]int64   // attributes that are whole numbers
	Floats           map[string]float32 // and those that are floats; AppendNode leaves them out
	IntLists         map[string][]int64 // and lists of whole numbers
	Tensors          map[string]Tensor  // attributes that are tensors; AppendNode leaves them out
	Subgraphs        bool               // it has attributes that are graphs
}

// ReadNode reads the NodeProto b[from:to].
func ReadNode(b []byte, from, to int) (n Node, err error) {
	err = Fields(b, from, to, func(x Field) error {
		text := string(b[x.From:x.To])
		switch x.Number {
		case NodeInput:
			n.Inputs = append(n.Inputs, text)
		case NodeOutput:
			n.Outputs = append(n.Outputs, text)
		case NodeName:
			n.Name = text
		case NodeOp:
			n.Op = text
		case NodeDomain:
			n.Domain = text
		case NodeAttribute:
			return n.attribute(b, x)
		}
		return nil
	})
	return n, err
}

func (n *Node) attribute(b []byte, x Field) error {
	var name string
	var tensor *Tensor
	ints, floats, list := []int64{}, []float32{}, []int64{} // one of them, at most
	err := Fields(b, x.From, x.To, func(x Field) error {
		switch x.Number {
		case AttributeName:
			name = string(b[x.From:x.To])
		case AttributeInt:
			ints = append(ints, int64(x.Value))
		case AttributeFloat:
			floats = append(floats, math.Float32frombits(uint32(x.Value)))
		case AttributeInts:
			return eachInt(b, x, func(v int64) { list = append(list, v) })
		case AttributeTensor:
			t, err := ReadTensor(b, x.From, x.To)
			tensor = &t
			return err
		case AttributeGraph, AttributeGraphs:
			n.Subgraphs = true
		}
		return nil
	})
	if len(list) > 0 {
		if n.IntLists == nil {
			n.IntLists = map[string][]int64{}
		}
		n.IntLists[name] = list
	}
	if tensor != nil {
		if n.Tensors == nil {
			n.Tensors = map[string]Tensor{}
		}
		n.Tensors[name] = *tensor
	}
	if len(ints) > 0 {
		if n.Ints == nil {
			n.Ints = map[string]int64{}
		}
		n.Ints[name] = ints[len(ints)-1]
	}
	if len(floats) > 0 {
		if n.Floats == nil {
			n.Floats = map[string]float32{}
		}
		n.Floats[name] = floats[len(floats)-1]
	}
	return err
}

// AppendNode appends n as a field of a message.
func AppendNode(b []byte, field protowire.Number, n Node) []byte {
	var p []byte
	for _, s := range n.Inputs {
		p = AppendBytes(p, NodeInput, s)
	}
	for _, s := range n.Outputs {
		p = AppendBytes(p, NodeOutput, s)
	}
	p = AppendBytes(p, NodeName, n.Name)
	p = AppendBytes(p, NodeOp, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Ints)) {
		a := AppendBytes(nil, AttributeName, name)
		a = AppendNumber(a, AttributeInt, uint64(n.Ints[name]))
		a = AppendNumber(a, AttributeType, attributeInt)
		p = AppendBytes(p, NodeAttribute, a)
	}
	for _, name := range slices.Sorted(maps.Keys(n.IntLists)) {
		a := AppendBytes(nil, AttributeName, name)
		for _, v := range n.IntLists[name] {
			a = AppendNumber(a, AttributeInts, uint64(v))
		}
		a = AppendNumber(a, AttributeType, attributeInts)
		p = AppendBytes(p, NodeAttribute, a)
	}
	if n.Domain != "" {
		p = AppendBytes(p, NodeDomain, n.Domain)
	}
	return AppendBytes(b, field, p)
}

// AppendFloats appends to a graph the ValueInfoProto of a tensor of 32-bit floats, of any
// shape.
func AppendFloats(b []byte, field protowire.Number, name string) []byte {
	tensor := AppendBytes(nil, TypeTensor, AppendNumber(nil, TypeTensorElem, Float32))
	return AppendBytes(b, field, AppendBytes(AppendBytes(nil, InfoName, name), InfoType, tensor))
}

// AppendBytes appends a field that is text, a message or other bytes.
func AppendBytes[T ~string | ~[]byte](b []byte, field protowire.Number, v T) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

// AppendNumber appends a field that is a number.
func AppendNumber(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

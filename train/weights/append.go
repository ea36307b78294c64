package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// More field numbers of onnx.proto.
const (
	graphOutput = 12
	nodeOutput  = 2
	infoName    = 1
)

// hiddenState is the output of a network that is asked for if it has several, as in
// package encoder/onnx, and before is what is appended to the name that the
// network's own output has then.
const (
	hiddenState = "last_hidden_state"
	before      = "_before"
)

// WithMatrix returns a copy of the network whose output, the vectors of tokens, is
// multiplied by a matrix [dim, dim] of the given name: the identity, until Save
// gives it other values. The graph is the same otherwise, and its output has the
// name that it had.
func (f *File) WithMatrix(name string, dim int) (*File, error) {
	out, err := f.withMatrix(name, dim)
	if err != nil {
		return nil, fmt.Errorf("cannot append matrix %q to the network: %w", name, err)
	}
	return out, nil
}

func (f *File) withMatrix(name string, dim int) (*File, error) {
	if _, ok := f.Find(name); ok {
		return nil, errors.New("it has one already")
	}
	if dim < 1 || dim > 1<<14 {
		return nil, fmt.Errorf("dimension %d", dim)
	}
	output, err := f.output()
	if err != nil {
		return nil, err
	}
	var model []byte
	err = fields(f.bytes, 0, len(f.bytes), func(x field) error {
		if x.number != modelGraph {
			model = append(model, f.bytes[x.start:x.end]...)
			return nil
		}
		var graph []byte
		err := fields(f.bytes, x.from, x.to, func(x field) error {
			if x.number != graphNode {
				graph = append(graph, f.bytes[x.start:x.end]...)
				return nil
			}
			node, err := f.renamed(x, output)
			graph = protowire.AppendTag(graph, graphNode, protowire.BytesType)
			graph = protowire.AppendBytes(graph, node)
			return err
		})
		graph = protowire.AppendTag(graph, graphInitializer, protowire.BytesType)
		graph = protowire.AppendBytes(graph, identity(name, dim))
		graph = protowire.AppendTag(graph, graphNode, protowire.BytesType) // nodes are in order of computation
		graph = protowire.AppendBytes(graph, matMul(output+before, name, output))
		model = protowire.AppendTag(model, modelGraph, protowire.BytesType)
		model = protowire.AppendBytes(model, graph)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(model) > maxFile {
		return nil, errors.New("it would be larger than 2 GB")
	}
	return parse(model)
}

// output is the name of the network's output that is the vectors of tokens: the one
// called last_hidden_state, else the first of three dimensions.
func (f *File) output() (name string, err error) {
	err = fields(f.bytes, 0, len(f.bytes), func(x field) error {
		if x.number != modelGraph {
			return nil
		}
		return fields(f.bytes, x.from, x.to, func(x field) error {
			if x.number != graphOutput {
				return nil
			}
			found, dims, err := f.info(x)
			if found == hiddenState || name == "" && dims == 3 {
				name = found
			}
			return err
		})
	})
	if err == nil && name == "" {
		err = errors.New("it has no output of three dimensions")
	}
	return name, err
}

// info is the name of a ValueInfoProto and the number of its dimensions.
func (f *File) info(info field) (name string, dims int, err error) {
	// value info -> type -> tensor type -> shape -> dimensions
	path := []protowire.Number{2, 1, 2, 1}
	var walk func(x field, depth int) error
	walk = func(x field, depth int) error {
		return fields(f.bytes, x.from, x.to, func(x field) error {
			switch {
			case depth == 0 && x.number == infoName:
				name = string(f.bytes[x.from:x.to])
			case x.number == path[depth] && depth == len(path)-1:
				dims++
			case x.number == path[depth]:
				return walk(x, depth+1)
			}
			return nil
		})
	}
	err = walk(info, 0)
	return name, dims, err
}

// renamed is a copy of a NodeProto in which the output has another name.
func (f *File) renamed(node field, output string) (out []byte, err error) {
	err = fields(f.bytes, node.from, node.to, func(x field) error {
		edge := x.number == nodeInput || x.number == nodeOutput
		if edge && string(f.bytes[x.from:x.to]) == output {
			out = protowire.AppendTag(out, x.number, protowire.BytesType)
			out = protowire.AppendString(out, output+before)
		} else {
			out = append(out, f.bytes[x.start:x.end]...)
		}
		return nil
	})
	return out, err
}

// identity is the TensorProto of a matrix that changes nothing.
func identity(name string, dim int) (out []byte) {
	raw := make([]byte, 4*dim*dim)
	for i := range dim {
		binary.LittleEndian.PutUint32(raw[4*(i*dim+i):], math.Float32bits(1))
	}
	for range 2 {
		out = protowire.AppendTag(out, tensorDims, protowire.VarintType)
		out = protowire.AppendVarint(out, uint64(dim))
	}
	out = protowire.AppendTag(out, tensorType, protowire.VarintType)
	out = protowire.AppendVarint(out, float32Type)
	out = protowire.AppendTag(out, tensorName, protowire.BytesType)
	out = protowire.AppendString(out, name)
	out = protowire.AppendTag(out, tensorRaw, protowire.BytesType)
	return protowire.AppendBytes(out, raw)
}

// matMul is the NodeProto of a product.
func matMul(x, matrix, product string) (out []byte) {
	text := func(number protowire.Number, s string) {
		out = protowire.AppendTag(out, number, protowire.BytesType)
		out = protowire.AppendString(out, s)
	}
	text(nodeInput, x)
	text(nodeInput, matrix)
	text(nodeOutput, product)
	text(nodeName, matrix)
	text(nodeOp, "MatMul")
	return out
}

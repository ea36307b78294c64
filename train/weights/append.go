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

// hiddenState is the output of a network that is asked for if it has several, and
// adapted is the name of the output of an appended matrix.
const (
	hiddenState = "last_hidden_state"
	adapted     = "adapted_hidden_state"
)

// WithMatrix returns a copy of the network whose output, the vectors of tokens, is
// multiplied by a matrix [dim, dim] of the given name: the identity, until Save
// gives it other values. The graph is the same otherwise.
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
	outputs, err := f.outputs()
	if err != nil {
		return nil, err
	}
	from := outputs[0]
	for _, o := range outputs {
		if o == hiddenState {
			from = o
		}
	}
	if len(outputs) > 1 && from != hiddenState {
		return nil, fmt.Errorf("it has the outputs %.200q, and none is called %s", outputs, hiddenState)
	}
	var model []byte
	err = fields(f.bytes, 0, len(f.bytes), func(x field) error {
		if x.number != modelGraph {
			model = append(model, f.bytes[x.start:x.end]...)
			return nil
		}
		var graph []byte
		err := fields(f.bytes, x.from, x.to, func(x field) error {
			if x.number == graphOutput {
				info, err := f.renamed(x, from)
				graph = protowire.AppendTag(graph, graphOutput, protowire.BytesType)
				graph = protowire.AppendBytes(graph, info)
				return err
			}
			graph = append(graph, f.bytes[x.start:x.end]...)
			return nil
		})
		graph = protowire.AppendTag(graph, graphInitializer, protowire.BytesType)
		graph = protowire.AppendBytes(graph, identity(name, dim))
		graph = protowire.AppendTag(graph, graphNode, protowire.BytesType) // nodes are in order of computation
		graph = protowire.AppendBytes(graph, matMul(from, name, adapted))
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

// outputs are the names of the network's outputs.
func (f *File) outputs() (names []string, err error) {
	err = fields(f.bytes, 0, len(f.bytes), func(x field) error {
		if x.number != modelGraph {
			return nil
		}
		return fields(f.bytes, x.from, x.to, func(x field) error {
			if x.number != graphOutput {
				return nil
			}
			return fields(f.bytes, x.from, x.to, func(x field) error {
				if x.number == infoName {
					names = append(names, string(f.bytes[x.from:x.to]))
				}
				return nil
			})
		})
	})
	if err == nil && len(names) == 0 {
		err = errors.New("it has no output")
	}
	return names, err
}

// renamed is a copy of a ValueInfoProto in which the name old is that of the
// appended matrix's output.
func (f *File) renamed(info field, old string) (out []byte, err error) {
	err = fields(f.bytes, info.from, info.to, func(x field) error {
		if x.number == infoName && string(f.bytes[x.from:x.to]) == old {
			out = protowire.AppendTag(out, infoName, protowire.BytesType)
			out = protowire.AppendString(out, adapted)
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
	text(nodeName, product)
	text(nodeOp, "MatMul")
	return out
}

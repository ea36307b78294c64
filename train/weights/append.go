package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/internal/onnxfile"
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
	err = onnxfile.Fields(f.bytes, 0, len(f.bytes), func(x onnxfile.Field) error {
		if x.Number != onnxfile.ModelGraph {
			model = append(model, f.bytes[x.Start:x.End]...)
			return nil
		}
		var graph []byte
		err := onnxfile.Fields(f.bytes, x.From, x.To, func(x onnxfile.Field) error {
			if x.Number != onnxfile.GraphNode {
				graph = append(graph, f.bytes[x.Start:x.End]...)
				return nil
			}
			node, err := f.renamed(x, output)
			graph = onnxfile.AppendBytes(graph, onnxfile.GraphNode, node)
			return err
		})
		graph = onnxfile.AppendTensor(graph, onnxfile.GraphInitializer, name, onnxfile.Float32, []int{dim, dim}, identity(dim))
		graph = onnxfile.AppendNode(graph, onnxfile.GraphNode, onnxfile.Node{ // nodes are in order of computation
			Name: name, Op: "MatMul", Inputs: []string{output + before, name}, Outputs: []string{output},
		})
		model = onnxfile.AppendBytes(model, onnxfile.ModelGraph, graph)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(model) > onnxfile.MaxFile {
		return nil, errors.New("it would be larger than 2 GB")
	}
	return parse(model)
}

// output is the name of the network's output that is the vectors of tokens: the one
// called last_hidden_state, else the first of three dimensions.
func (f *File) output() (name string, err error) {
	err = onnxfile.Graph(f.bytes, func(x onnxfile.Field) error {
		if x.Number != onnxfile.GraphOutput {
			return nil
		}
		found, dims, err := f.info(x)
		if found == hiddenState || name == "" && dims == 3 {
			name = found
		}
		return err
	})
	if err == nil && name == "" {
		err = errors.New("it has no output of three dimensions")
	}
	return name, err
}

// info is the name of a ValueInfoProto and the number of its dimensions.
func (f *File) info(info onnxfile.Field) (name string, dims int, err error) {
	// value info -> type -> tensor type -> shape -> dimensions
	path := []protowire.Number{2, 1, 2, 1}
	var walk func(x onnxfile.Field, depth int) error
	walk = func(x onnxfile.Field, depth int) error {
		return onnxfile.Fields(f.bytes, x.From, x.To, func(x onnxfile.Field) error {
			switch {
			case depth == 0 && x.Number == onnxfile.InfoName:
				name = string(f.bytes[x.From:x.To])
			case x.Number == path[depth] && depth == len(path)-1:
				dims++
			case x.Number == path[depth]:
				return walk(x, depth+1)
			}
			return nil
		})
	}
	err = walk(info, 0)
	return name, dims, err
}

// renamed is a copy of a NodeProto in which the output has another name.
func (f *File) renamed(node onnxfile.Field, output string) (out []byte, err error) {
	err = onnxfile.Fields(f.bytes, node.From, node.To, func(x onnxfile.Field) error {
		edge := x.Number == onnxfile.NodeInput || x.Number == onnxfile.NodeOutput
		if edge && string(f.bytes[x.From:x.To]) == output {
			out = onnxfile.AppendBytes(out, x.Number, output+before)
		} else {
			out = append(out, f.bytes[x.Start:x.End]...)
		}
		return nil
	})
	return out, err
}

// identity is the values of a matrix that changes nothing.
func identity(dim int) []byte {
	raw := make([]byte, 4*dim*dim)
	for i := range dim {
		binary.LittleEndian.PutUint32(raw[4*(i*dim+i):], math.Float32bits(1))
	}
	return raw
}

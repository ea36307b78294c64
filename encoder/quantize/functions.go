package quantize

import (
	"encoding/binary"
	"math"

	"github.com/trirank/trirank/internal/onnxfile"
)

// What Tokens puts in the place of products are ONNX functions: made of operators that
// every ONNX Runtime has, and so computed by any. Package
// [github.com/trirank/trirank/encoder/onnx/operators] has faster ones of the same names
// for processors that can.
const (
	// Domain is that of the functions.
	Domain = "trirank"
	// RoundTokens (x) returns each token's activations stretched to reach from -127 to
	// 127, rounded, with 128 for 0, and what was its peak.
	RoundTokens = "RoundTokens"
	// TokenProduct (rounded, peak, weights, scales, bias) returns the product with a
	// matrix of 8 bits, each column by its scale, times the peak, plus the bias.
	TokenProduct = "TokenProduct"
	// TokenProductGelu is TokenProduct and then GELU.
	TokenProductGelu = "TokenProductGelu"
)

// axesAsInput is the version of ONNX's operators since which ReduceMax is given its axes
// as an input.
const axesAsInput = 18

// function writes the nodes of one.
type function struct {
	out  []byte
	last string // what the last node made
}

func (f *function) number(name string, v float32) {
	f.out = onnxfile.AppendConstant(f.out, onnxfile.FunctionNode, name, onnxfile.Float32, nil, littleEndian([]float32{v}))
}

func (f *function) zeroPoint() {
	f.out = onnxfile.AppendConstant(f.out, onnxfile.FunctionNode, zeroPoint, onnxfile.Uint8, nil, []byte{middle})
}

func (f *function) node(out, op string, inputs ...string) {
	f.add(newNode(op, inputs, []string{out}, nil))
}

func (f *function) add(n onnxfile.Node) {
	f.out, f.last = onnxfile.AppendNode(f.out, onnxfile.FunctionNode, n), n.Outputs[0]
}

// functions appends to a model those of Tokens.
func (g *graph) functions(model []byte) []byte {
	// ONNX Runtime has no one operator for it: its MatMulIntegerToFloat knows one scale
	// for all activations, which is 1 here, and what the token was stretched by is taken
	// back after it.
	var f function
	f.number("one", 1)
	f.number("most", greatest)
	f.number("least", 0x1p-100) // the peak of a token whose activations are all 0
	f.zeroPoint()
	f.node("magnitude", "Abs", "x")
	reduce := newNode("ReduceMax", []string{"magnitude"}, []string{"highest"}, map[string]int64{"keepdims": 1})
	if g.opset >= axesAsInput {
		f.out = onnxfile.AppendConstant(f.out, onnxfile.FunctionNode, "axis", onnxfile.Int64, []int{1}, binary.LittleEndian.AppendUint64(nil, math.MaxUint64)) // -1
		reduce.Inputs = append(reduce.Inputs, "axis")
	} else {
		reduce.IntLists = map[string][]int64{"axes": {-1}}
	}
	f.add(reduce)
	f.node("peak", "Max", "highest", "least")
	f.node("stretch", "Div", "most", "peak")
	f.node("stretched", "Mul", "x", "stretch")
	f.node("rounded", "QuantizeLinear", "stretched", "one", zeroPoint)
	model = g.function(model, RoundTokens, f.out, []string{"x"}, "rounded", "peak")

	for _, name := range []string{TokenProduct, TokenProductGelu} {
		var f function
		f.number("one", 1)
		f.zeroPoint()
		f.node("sum", matMulIntegerToFloat, "rounded", "weights", "one", "scales", zeroPoint, zeroPoint)
		f.node("product", "Mul", "sum", "peak")
		f.node("linear", "Add", "product", "bias")
		if name == TokenProductGelu { // x/2 (1 + erf(x / sqrt 2))
			f.number("root", math.Sqrt2)
			f.number("half", .5)
			f.node("divided", "Div", "linear", "root")
			f.node("erf", "Erf", "divided")
			f.node("more", "Add", "erf", "one")
			f.node("twice", "Mul", "linear", "more")
			f.node("gelu", "Mul", "twice", "half")
		}
		model = g.function(model, name, f.out, []string{"rounded", "peak", "weights", "scales", "bias"}, f.last)
	}
	return model
}

// function appends a FunctionProto to a model.
func (g *graph) function(model []byte, name string, nodes []byte, inputs []string, outputs ...string) []byte {
	f := onnxfile.AppendBytes(nil, onnxfile.FunctionName, name)
	for _, v := range inputs {
		f = onnxfile.AppendBytes(f, onnxfile.FunctionInput, v)
	}
	for _, v := range outputs {
		f = onnxfile.AppendBytes(f, onnxfile.FunctionOutput, v)
	}
	f = append(f, nodes...)
	f = imports(f, onnxfile.FunctionOpsets, "", g.opset)
	f = imports(f, onnxfile.FunctionOpsets, contrib, 1)
	f = onnxfile.AppendBytes(f, onnxfile.FunctionDomain, Domain)
	return onnxfile.AppendBytes(model, onnxfile.ModelFunctions, f)
}

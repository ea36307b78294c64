package quantize

import (
	"encoding/binary"
	"math"
	"slices"

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
	// Attention (q, k, v, mask) is that of texts, q, k and v of shape [texts, tokens,
	// heads x channels], mask [texts, 1, 1, tokens], or one for each head or token as
	// well, which is added to the logits.
	Attention = "Attention"
	// AddNormalize (a, b, weight, bias, epsilon) is the layer normalisation of a + b,
	// of one shape or one of them repeated along the other.
	AddNormalize = "AddNormalize"
	// Layer is a layer of BERT made of the above: layerInputs says what it is given.
	Layer = "Layer"
)

// axesAsInput is the version of ONNX's operators since which ReduceMax and ReduceMean are
// given their axes as an input.
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

// shape is a list of whole numbers.
func (f *function) shape(name string, dims ...uint64) {
	var raw []byte
	for _, d := range dims {
		raw = binary.LittleEndian.AppendUint64(raw, d)
	}
	f.out = onnxfile.AppendConstant(f.out, onnxfile.FunctionNode, name, onnxfile.Int64, []int{len(dims)}, raw)
}

func (f *function) transpose(out, x string, perm ...int64) {
	n := newNode("Transpose", []string{x}, []string{out}, nil)
	n.IntLists = map[string][]int64{"perm": perm}
	f.add(n)
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
	g.lastAxis(&f)
	f.node("magnitude", "Abs", "x")
	reduce := newNode("ReduceMax", []string{"magnitude"}, []string{"highest"}, map[string]int64{"keepdims": 1})
	g.overLast(&reduce)
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
	if g.heads > 0 {
		model = g.attention(model)
	}
	model = g.normalize(model)
	if g.layered {
		model = g.layer(model)
	}
	return model
}

// attention appends Attention, whose operator is told by an attribute what is written out
// here: how many heads there are.
func (g *graph) attention(model []byte) []byte {
	var f function
	f.shape("apart", 0, 0, uint64(g.heads), uint64(g.channels)) // 0: as it is
	f.shape("together", 0, 0, uint64(g.heads*g.channels))
	f.number("root", float32(math.Sqrt(float64(g.channels))))
	for _, x := range []string{"q", "k", "v"} {
		f.node(x+"_apart", "Reshape", x, "apart")
		if x == "k" {
			f.transpose(x+"_turned", x+"_apart", 0, 2, 3, 1)
		} else {
			f.transpose(x+"_turned", x+"_apart", 0, 2, 1, 3)
		}
	}
	f.node("products", "MatMul", "q_turned", "k_turned")
	f.node("logits", "Div", "products", "root")
	f.node("masked", "Add", "logits", "mask")
	f.add(newNode("Softmax", []string{"masked"}, []string{"shares"}, map[string]int64{"axis": 3}))
	f.node("mixed", "MatMul", "shares", "v_turned")
	f.transpose("mixed_turned", "mixed", 0, 2, 1, 3)
	f.node("y", "Reshape", "mixed_turned", "together")
	return g.function(model, Attention, onnxfile.AppendBytes(f.out, onnxfile.FunctionAttribute, "heads"), []string{"q", "k", "v", "mask"}, "y")
}

// normalize appends AddNormalize.
func (g *graph) normalize(model []byte) []byte {
	var f function
	mean := func(out, x string) {
		n := newNode("ReduceMean", []string{x}, []string{out}, map[string]int64{"keepdims": 1})
		g.overLast(&n)
		f.add(n)
	}
	g.lastAxis(&f)
	f.number("two", 2)
	f.node("sum", "Add", "a", "b")
	mean("mean", "sum")
	f.node("centred", "Sub", "sum", "mean")
	f.node("squares", "Pow", "centred", "two")
	mean("variance", "squares")
	f.node("lifted", "Add", "variance", "epsilon")
	f.node("deviation", "Sqrt", "lifted")
	f.node("unit", "Div", "centred", "deviation")
	f.node("weighted", "Mul", "unit", "weight")
	f.node("y", "Add", "weighted", "bias")
	return g.function(model, AddNormalize, f.out, []string{"a", "b", "weight", "bias", "epsilon"}, "y")
}

// layerInputs are those of Layer: activations [texts, tokens, channels], the mask of
// Attention, what the channels are multiplied by before they are rounded, and the
// constants of the products and of the normalisations, in the order in which they come.
var layerInputs = slices.Concat([]string{"x", "mask", "factors"}, constantsOf("query"), constantsOf("key"), constantsOf("value"), constantsOf("joined"),
	[]string{"weight", "bias", "epsilon", "factors_between"}, constantsOf("wide"), constantsOf("narrow"), []string{"last_weight", "last_bias", "last_epsilon"})

// constantsOf names what a product is given beside activations.
func constantsOf(product string) []string {
	return []string{product + "_weights", product + "_scales", product + "_bias"}
}

// layer appends Layer, whose operator is told the heads as that of Attention is.
func (g *graph) layer(model []byte) []byte {
	var f function
	round := func(x, factors string) string {
		v := x
		if factors != "" {
			v = x + divided
			f.node(v, "Mul", x, factors)
		}
		f.add(newNode(RoundTokens, []string{v}, []string{x + integers, x + peak}, nil))
		return x
	}
	product := func(op, x, name string) string {
		f.node(name, op, append([]string{x + integers, x + peak}, constantsOf(name)...)...)
		return name
	}
	round("x", "factors")
	for _, name := range []string{"query", "key", "value"} {
		product(TokenProduct, "x", name)
	}
	f.add(newNode(Attention, []string{"query", "key", "value", "mask"}, []string{"attended"}, map[string]int64{"heads": g.heads}))
	f.node("between", AddNormalize, product(TokenProduct, round("attended", ""), "joined"), "x", "weight", "bias", "epsilon")
	wide := product(TokenProductGelu, round("between", "factors_between"), "wide")
	f.node("y", AddNormalize, product(TokenProduct, round(wide, ""), "narrow"), "between", "last_weight", "last_bias", "last_epsilon")
	return g.function(model, Layer, onnxfile.AppendBytes(f.out, onnxfile.FunctionAttribute, "heads"), layerInputs, "y")
}

// lastAxis writes the constant that overLast needs.
func (g *graph) lastAxis(f *function) {
	if g.opset >= axesAsInput {
		f.shape("last", math.MaxUint64) // -1
	}
}

// overLast has n reduce the last dimension.
func (g *graph) overLast(n *onnxfile.Node) {
	if g.opset >= axesAsInput {
		n.Inputs = append(n.Inputs, "last")
	} else {
		n.IntLists = map[string][]int64{"axes": {-1}}
	}
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
	if name == Layer { // which is made of our others
		f = imports(f, onnxfile.FunctionOpsets, Domain, 1)
	}
	f = onnxfile.AppendBytes(f, onnxfile.FunctionDomain, Domain)
	return onnxfile.AppendBytes(model, onnxfile.ModelFunctions, f)
}

package quantize

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/onnxfile"
)

// layer is a layer of BERT as PyTorch exports it, of 2 heads and 3 channels, one node a
// line: what it makes, operator, inputs, attributes.
const layer = `
q0 MatMul x wq
q Add bq q0
k0 MatMul x wk
k Add bk k0
ks Shape k
kb Gather ks zero
kt Gather ks one
kshape Concat kb kt heads channels
k1 Reshape k kshape
v0 MatMul x wv
v Add bv v0
vs Shape v
vb Gather vs zero
vt Gather vs one
vshape Concat vb vt heads channels
v1 Reshape v vshape
v2 Transpose v1 perm=0,2,1,3
qs Shape q
qb0 Gather qs zero
qb Unsqueeze qb0
qt Gather qs one
qshape Concat qb qt heads channels
q1 Reshape q qshape
q2 Transpose q1 perm=0,2,1,3
k2 Transpose k1 perm=0,2,3,1
a0 MatMul q2 k2
a1 Div a0 root3
a2 Add a1 mask
a3 Softmax a2 axis=3
c0 MatMul a3 v2
c1 Transpose c0 perm=0,2,1,3
cs Shape c1
cb Gather cs zero
ct Gather cs one
cshape Concat cb ct whole
c2 Reshape c1 cshape
o0 MatMul c2 wo
o Add bo o0
s Add o x
m ReduceMean s axes=-1
d Sub s m
p Pow d two
vr ReduceMean p axes=-1
e Add vr epsilon
r Sqrt e
n0 Div d r
n1 Mul n0 weight
n Add n1 bias
f0 MatMul n wf
f Add bf f0
g0 Div f root2
g1 Erf g0
g2 Add g1 unit
g3 Mul f g2
g Mul g3 half
`

// rest makes a whole layer of it.
const rest = `
h0 MatMul g wg
h Add bg h0
t Add h n
tm ReduceMean t axes=-1
td Sub t tm
tp Pow td two
tv ReduceMean tp axes=-1
te Add tv epsilon
tr Sqrt te
y0 Div td tr
y1 Mul y0 weight
y Add y1 bias
`

// layerOf quantizes the layer, changed by replacing pairs of texts; outputs are what it
// gives.
func layerOf(t *testing.T, outputs string, change ...string) *written {
	t.Helper()
	return quantizedOf(t, layer, outputs, nil, change...)
}

func quantizedOf(t *testing.T, nodes, outputs string, peaks Peaks, change ...string) *written {
	t.Helper()
	text := strings.NewReplacer(change...).Replace(nodes)
	if len(change) > 0 && text == nodes {
		t.Fatalf("%q changes nothing", change)
	}
	var parts [][]byte
	add := func(name string, kind uint64, dims []int, raw []byte) {
		parts = append(parts, onnxfile.AppendConstant(nil, onnxfile.GraphNode, name, kind, dims, raw))
	}
	whole := func(name string, v uint64) {
		add(name, onnxfile.Int64, []int{1}, binary.LittleEndian.AppendUint64(nil, v))
	}
	whole("zero", 0)
	whole("one", 1)
	whole("heads", 2)
	whole("channels", 3)
	whole("whole", 6)
	for name, v := range map[string]float32{"root3": float32(math.Sqrt(3)), "root2": math.Sqrt2, "unit": 1, "half": .5, "two": 2, "epsilon": 1e-12} {
		add(name, onnxfile.Float32, nil, floatsOf(v))
	}
	square := make([]float32, 36)
	for i := range square {
		square[i] = float32(i)
	}
	for _, name := range []string{"wq", "wk", "wv", "wo", "wf", "wg"} {
		parts = append(parts, tensor(name, onnxfile.Float32, []int{6, 6}, floatsOf(square...)))
	}
	for _, name := range []string{"bq", "bk", "bv", "bo", "bf", "bg", "weight", "bias"} {
		parts = append(parts, tensor(name, onnxfile.Float32, []int{6}, floatsOf(square[:6]...)))
	}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		n := onnxfile.Node{Name: words[0], Op: words[1], Outputs: words[:1], Ints: map[string]int64{}, IntLists: map[string][]int64{}}
		for _, w := range words[2:] {
			name, list, ok := strings.Cut(w, "=")
			if !ok {
				n.Inputs = append(n.Inputs, w)
				continue
			}
			for v := range strings.SplitSeq(list, ",") {
				i := int64(v[len(v)-1] - '0')
				if v[0] == '-' {
					i = -i
				}
				n.IntLists[name] = append(n.IntLists[name], i)
			}
			if name == "axis" || name == "keepdims" {
				n.Ints[name] = n.IntLists[name][0]
				delete(n.IntLists, name)
			}
		}
		parts = append(parts, onnxfile.AppendNode(nil, onnxfile.GraphNode, n))
	}
	for _, name := range strings.Fields(outputs) {
		parts = append(parts, info(onnxfile.GraphOutput, name))
	}
	b, _, err := Network(context.Background(), network(11, parts...), Tokens, peaks)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, b)
}

func ops(w *written) (found []string) {
	for _, n := range w.nodes {
		if op, _, _ := strings.Cut(n, " "); op != "Constant" {
			found = append(found, op)
		}
	}
	return found
}

func TestJoin(t *testing.T) {
	w := layerOf(t, "g")
	var got []string
	for _, n := range w.nodes {
		if !strings.HasPrefix(n, "Constant") {
			got = append(got, n)
		}
	}
	want := []string{
		"RoundTokens x -> x_quantized,x_peak",
		"TokenProduct x_quantized,x_peak,wq_quantized,wq_scale,bq -> q",
		"TokenProduct x_quantized,x_peak,wk_quantized,wk_scale,bk -> k",
		"TokenProduct x_quantized,x_peak,wv_quantized,wv_scale,bv -> v",
		"Attention q,k,v,mask -> c2",
		"RoundTokens c2 -> c2_quantized,c2_peak",
		"TokenProduct c2_quantized,c2_peak,wo_quantized,wo_scale,bo -> o",
		"AddNormalize o,x,weight,bias,epsilon -> n",
		"RoundTokens n -> n_quantized,n_peak",
		"TokenProductGelu n_quantized,n_peak,wf_quantized,wf_scale,bf -> g",
	}
	if !slices.Equal(got, want) {
		t.Errorf("nodes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLayers(t *testing.T) {
	const constants = "wq_quantized,wq_scale,bq,wk_quantized,wk_scale,bk,wv_quantized,wv_scale,bv,wo_quantized,wo_scale,bo,weight,bias,epsilon," +
		"%s,wf_quantized,wf_scale,bf,wg_quantized,wg_scale,bg,weight,bias,epsilon -> y"
	for factors, peaks := range map[string]Peaks{
		"quantized_no_factor_6": nil,
		"x_factor": func(_ context.Context, _ []byte, values []string) (found [][]float32, err error) {
			for range values {
				found = append(found, []float32{1, 1, 1, 1, 1, 9})
			}
			return found, nil
		},
	} {
		w := quantizedOf(t, layer+rest, "y", peaks)
		// Only before q, k and v are there more columns than channels.
		want := "Layer x,mask," + factors + "," + strings.Replace(constants, "%s", "quantized_no_factor_6", 1)
		if got := slices.DeleteFunc(w.nodes, func(n string) bool { return strings.HasPrefix(n, "Constant") }); !slices.Equal(got, []string{want}) {
			t.Errorf("nodes:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
		}
	}
	// What is not one, or has a part that somebody else needs, stays apart.
	for _, change := range [][]string{
		{"t Add h n", "t Add h x"}, {"s Add o x", "s Add o mask"}, {"v0 MatMul x wv", "v0 MatMul mask wv"}, {"h0 MatMul g wg", "h0 MatMul f wg"}, {"g Mul g3 half", "g Mul g3 unit"},
		{"f0 MatMul n wf", "f0 MatMul x wf"}, {"a3 Softmax a2 axis=3", "a3 Softmax a2 axis=2"}, {"tr Sqrt te", "tr Sqrt tv"}, {"s Add o x", "s Add o q"},
		{"y Add y1 bias", "y5 Add y1 bias\nz MatMul n wo\ny Add y5 z"}, {"y Add y1 bias", "y5 Add y1 bias\nz MatMul x wo\ny Add y5 z"}, {"y Add y1 bias", "y5 Add y1 bias\ny Add y5 h"},
		{"y Add y1 bias", "y5 Add y1 bias\ny Add y5 c2"}, {"y Add y1 bias", "y5 Add y1 bias\ny Add y5 g"}, {"y Add y1 bias", "y5 Add y1 bias\ny Add y5 n"}, {"y Add y1 bias", "y5 Add y1 bias\ny Add y5 q"},
	} {
		if w := quantizedOf(t, layer+rest, "y", nil, change...); slices.Contains(ops(w), Layer) {
			t.Errorf("with %q there is a layer", change)
		}
	}
	for _, output := range []string{"n", "q", "c2", "o", "g", "h"} {
		if w := quantizedOf(t, layer+rest, "y "+output, nil); slices.Contains(ops(w), Layer) {
			t.Errorf("%s is an output, and in a layer", output)
		}
	}
	// x itself others may have.
	if w := quantizedOf(t, layer+rest, "y x2", nil, "y Add y1 bias", "y Add y1 bias\nx2 Mul x two"); !slices.Contains(ops(w), Layer) {
		t.Error("with another use of x there is no layer")
	}
}

// TestJoinNot changes one thing in the layer: then what it is part of is no more what the
// function computes, or somebody else needs a part of it.
func TestJoinNot(t *testing.T) {
	for gone, changes := range map[string][][]string{
		Attention: {
			{"a1 Div a0 root3", "a1 Div a0 root2"}, {"a3 Softmax a2 axis=3", "a3 Softmax a2 axis=2"}, {"a3 Softmax a2 axis=3", "a3 Softmax a2"},
			{"q2 Transpose q1 perm=0,2,1,3", "q2 Transpose q1 perm=0,2,3,1"}, {"k2 Transpose k1 perm=0,2,3,1", "k2 Transpose k1"}, {"c1 Transpose c0 perm=0,2,1,3", "c1 Transpose c0 perm=0,1,2,3"},
			{"cshape Concat cb ct whole", "cshape Concat cb ct heads"}, {"qshape Concat qb qt heads channels", "qshape Concat qb qt channels heads"}, {"qshape Concat qb qt heads channels", "qshape Concat zero qt heads channels"},
			{"qshape Concat qb qt heads channels", "qshape Concat qt qb heads channels"}, {"qshape Concat qb qt heads channels", "qshape Concat kb kt heads channels"}, {"cs Shape c1", "cs Shape c0"},
			{"s Add o x", "s Add o c1"}, {"s Add o x", "s Add o cb"},
			{"c0 MatMul a3 v2", "c0 MatMul v2 a3"}, {"a1 Div a0 root3", "a1 Mul a0 root3"}, {"s Add o x", "s Add o a2"},
		},
		AddNormalize: {
			{"m ReduceMean s axes=-1", "m ReduceMean s axes=-2"}, {"vr ReduceMean p axes=-1", "vr ReduceMean p axes=-1 keepdims=0"}, {"p Pow d two", "p Pow d unit"}, {"d Sub s m", "d Sub m s"},
			{"n0 Div d r", "n0 Div r d"}, {"n1 Mul n0 weight", "n1 Mul n0 wq"}, {"s Add o x", "s Add x mask"}, {"e Add vr epsilon", "e Add vr zero"}, {"n1 Mul n0 weight", "n1 Mul n0 s"},
		},
		TokenProductGelu: {
			{"g0 Div f root2", "g0 Div f root3"}, {"g0 Div f root2", "g0 Div root2 f"}, {"g2 Add g1 unit", "g2 Add g1 half"}, {"g3 Mul f g2", "g3 Mul f0 g2"}, {"g Mul g3 half", "g Mul g3 unit"}, {"g Mul g3 half", "g Mul g3 f"},
		},
	} {
		for _, change := range changes {
			if w := layerOf(t, "g", change...); slices.Contains(ops(w), gone) {
				t.Errorf("with %q there is %s", change, gone)
			}
		}
	}
	for output, gone := range map[string]string{"a3": Attention, "q2": Attention, "c1": Attention, "s": AddNormalize, "d": AddNormalize, "n1": AddNormalize, "f": TokenProductGelu, "g1": TokenProductGelu} {
		if w := layerOf(t, "g "+output); slices.Contains(ops(w), gone) {
			t.Errorf("%s is an output, and in %s", output, gone)
		}
	}
	// A bias that cannot be joined is added by a node.
	if w := layerOf(t, "g", "q Add bq q0", "q Add mask q0"); !slices.Contains(w.nodes, "Add mask,q0 -> q") || !slices.Contains(w.nodes, "TokenProduct x_quantized,x_peak,wq_quantized,wq_scale,quantized_no_bias_6 -> q0") {
		t.Error(strings.Join(w.nodes, "\n"))
	}
}

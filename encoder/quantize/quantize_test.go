package quantize

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/onnxfile"
)

func floatsOf(values ...float32) (raw []byte) {
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

func opset(domain string, version uint64) []byte {
	return onnxfile.AppendNumber(onnxfile.AppendBytes(nil, onnxfile.OpsetDomain, domain), onnxfile.OpsetVersion, version)
}

// network is a model of a graph's fields.
func network(version uint64, parts ...[]byte) []byte {
	b := onnxfile.AppendBytes(nil, onnxfile.ModelGraph, slices.Concat(parts...))
	return onnxfile.AppendBytes(b, onnxfile.ModelOpsets, opset("", version))
}

func tensor(name string, kind uint64, dims []int, raw []byte) []byte {
	return onnxfile.AppendTensor(nil, onnxfile.GraphInitializer, name, kind, dims, raw)
}

func node(op, inputs, outputs string) []byte {
	return onnxfile.AppendNode(nil, onnxfile.GraphNode, onnxfile.Node{Name: outputs, Op: op, Inputs: strings.Fields(inputs), Outputs: strings.Fields(outputs)})
}

func info(field int, name string) []byte {
	return onnxfile.AppendBytes(nil, protowire.Number(field), onnxfile.AppendBytes(nil, onnxfile.InfoName, name))
}

// shared is a network in which two products share their activations, and one of the
// matrices is needed as it is as well; it names its constants among its inputs, as old
// exporters do.
func shared() []byte {
	return network(11,
		info(onnxfile.GraphInput, "ids"), info(onnxfile.GraphInput, "w"), info(onnxfile.GraphInput, "v"),
		tensor("table", onnxfile.Float32, []int{1 << 15, 8}, make([]byte, 1<<20)),
		tensor("small", onnxfile.Float32, []int{2, 2}, floatsOf(1, 2, 3, 4)),
		tensor("w", onnxfile.Float32, []int{2, 3}, floatsOf(127, -.5, 0, 63.5, 1, 0)),
		tensor("v", onnxfile.Float32, []int{2, 2}, floatsOf(1, 0, 0, 1)),
		tensor("bias", onnxfile.Float32, []int{3}, floatsOf(1, 2, 3)),
		node("Gather", "table ids", "x"),
		node("Gather", "small ids", "s"),
		node("MatMul", "x w", "y"),
		node("Add", "y bias", "z"),
		node("MatMul", "x v", "u"),
		node("Add", "u v", "out"),
		node("MatMul", "u z", "product"), // of activations
		info(onnxfile.GraphOutput, "out"))
}

type written struct {
	tensors   map[string][]byte // values
	dims      map[string][]int
	nodes     []string
	inputs    []string
	opsets    map[string]uint64
	version   uint64
	functions map[string][]string // nodes
}

func read(t testing.TB, b []byte) *written {
	t.Helper()
	w := &written{tensors: map[string][]byte{}, dims: map[string][]int{}, opsets: map[string]uint64{}, functions: map[string][]string{}}
	text := func(x onnxfile.Field) (string, error) {
		n, err := onnxfile.ReadNode(b, x.From, x.To)
		return n.Op + " " + strings.Join(n.Inputs, ",") + " -> " + strings.Join(n.Outputs, ","), err
	}
	err := onnxfile.Graph(b, func(x onnxfile.Field) error {
		switch x.Number {
		case onnxfile.GraphInitializer:
			t, err := onnxfile.ReadTensor(b, x.From, x.To)
			w.tensors[t.Name], w.dims[t.Name] = b[t.From:t.To], t.Dims
			return err
		case onnxfile.GraphNode:
			n, err := text(x)
			w.nodes = append(w.nodes, n)
			return err
		case onnxfile.GraphInput:
			name, err := infoName(b, x)
			w.inputs = append(w.inputs, name)
			return err
		}
		return nil
	})
	if err == nil {
		err = onnxfile.Fields(b, 0, len(b), func(x onnxfile.Field) error {
			switch x.Number {
			case onnxfile.ModelVersion:
				w.version = x.Value
			case onnxfile.ModelFunctions:
				var name string
				return onnxfile.Fields(b, x.From, x.To, func(x onnxfile.Field) error {
					switch x.Number {
					case onnxfile.FunctionName:
						name = string(b[x.From:x.To])
					case onnxfile.FunctionNode:
						n, err := text(x)
						w.functions[name] = append(w.functions[name], n)
						return err
					}
					return nil
				})
			}
			if x.Number != onnxfile.ModelOpsets {
				return nil
			}
			domain, version := "", uint64(0)
			err := onnxfile.Fields(b, x.From, x.To, func(x onnxfile.Field) error {
				if x.Number == onnxfile.OpsetDomain {
					domain = string(b[x.From:x.To])
				} else {
					version = x.Value
				}
				return nil
			})
			w.opsets[domain] = version
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestDynamic(t *testing.T) {
	b, changed, err := Network(context.Background(), shared(), Dynamic, nil)
	if err != nil || changed != (Changed{2, 1}) {
		t.Fatal(changed, err)
	}
	w := read(t, b)
	// Columns of w: 127 and 63.5 by steps of 1, the half to even; -.5 and 1 by 1/127;
	// nothing but zeros.
	if got, want := w.tensors["w_quantized"], []byte{255, 64, 128, 192, 255, 128}; !bytes.Equal(got, want) {
		t.Errorf("w is %v, want %v", got, want)
	}
	if got := w.tensors["w_scale"]; !bytes.Equal(got[:8], floatsOf(1, 1./127)) {
		t.Errorf("the scales of w are %v", got)
	}
	for name, want := range map[string]bool{"w": false, "table": false, "v": true, "small": true, "bias": true, "v_quantized": true, zeroPoint: true} {
		if _, ok := w.tensors[name]; ok != want {
			t.Errorf("there is %s: %v", name, ok)
		}
	}
	if want := []string{"ids", "v"}; !slices.Equal(w.inputs, want) {
		t.Errorf("inputs %v, want %v", w.inputs, want)
	}
	want := []string{
		"Gather table_quantized,ids -> x_quantized_row", "Cast x_quantized_row -> x_float", "Gather table_scale,ids -> x_scale_row", "Mul x_float,x_scale_row -> x",
		"Gather small,ids -> s",
		"DynamicQuantizeLinear x -> x_quantized,x_scale,x_zero_point",
		"MatMulInteger x_quantized,w_quantized,x_zero_point," + zeroPoint + " -> y_quantized_sum", "Cast y_quantized_sum -> y_quantized_float",
		"Mul x_scale,w_scale -> y_quantized_scale", "Mul y_quantized_float,y_quantized_scale -> y",
		"Add y,bias -> z",
		"MatMulInteger x_quantized,v_quantized,x_zero_point," + zeroPoint + " -> u_quantized_sum", "Cast u_quantized_sum -> u_quantized_float",
		"Mul x_scale,v_scale -> u_quantized_scale", "Mul u_quantized_float,u_quantized_scale -> u",
		"Add u,v -> out",
		"MatMul u,z -> product",
	}
	if !slices.Equal(w.nodes, want) {
		t.Errorf("nodes:\n%s\nwant:\n%s", strings.Join(w.nodes, "\n"), strings.Join(want, "\n"))
	}
	if again, _, _ := Network(context.Background(), shared(), Dynamic, nil); !bytes.Equal(again, b) {
		t.Error("the same model is written in other bytes")
	}
	if _, _, err := Network(context.Background(), b, Dynamic, nil); err == nil || !strings.Contains(err.Error(), "is quantized already") {
		t.Error(err)
	}
}

func TestBlocks(t *testing.T) {
	b, changed, err := Network(context.Background(), shared(), Blocks, nil)
	if err != nil || changed != (Changed{2, 1}) {
		t.Fatal(changed, err)
	}
	w := read(t, b)
	if got, want := w.tensors["w_quantized"], slices.Concat([]byte{255, 192}, bytes.Repeat([]byte{128}, 30), []byte{64, 255}, bytes.Repeat([]byte{128}, 62)); !bytes.Equal(got, want) {
		t.Errorf("w is %v, want %v", got, want)
	}
	if !slices.Equal(w.dims["w_quantized"], []int{3, 1, 32}) || !slices.Equal(w.dims["w_scale"], []int{3, 1}) {
		t.Errorf("w has the dimensions %v, its scales %v", w.dims["w_quantized"], w.dims["w_scale"])
	}
	if !slices.Contains(w.nodes, "MatMulNBits x,w_quantized,w_scale -> y") || w.opsets[contrib] != 1 || w.opsets[""] != 11 {
		t.Errorf("%v, %v", w.nodes, w.opsets)
	}
}

func gemm(alpha float32, transB int64, inputs ...string) []byte {
	n := onnxfile.AppendNode(nil, onnxfile.GraphNode, onnxfile.Node{Name: "g", Op: "Gemm", Inputs: inputs, Outputs: []string{"y"}, Ints: map[string]int64{"transB": transB}})
	factor := protowire.AppendFixed32(protowire.AppendTag(onnxfile.AppendBytes(nil, onnxfile.AttributeName, "alpha"), onnxfile.AttributeFloat, protowire.Fixed32Type), math.Float32bits(alpha))
	_, _, from := protowire.ConsumeTag(n)
	body, _ := protowire.ConsumeBytes(n[from:])
	return onnxfile.AppendBytes(nil, onnxfile.GraphNode, onnxfile.AppendBytes(body, onnxfile.NodeAttribute, factor))
}

func TestGemm(t *testing.T) {
	parts := [][]byte{tensor("w", onnxfile.Float32, []int{2, 3}, floatsOf(127, 64, -127, 127, 0, 1)), tensor("b", onnxfile.Float32, []int{2}, floatsOf(1, 2))}
	whole := func(nodes ...[]byte) []byte { return network(11, append(slices.Clone(parts), nodes...)...) }
	b, _, err := Network(context.Background(), whole(gemm(1, 1, "x", "w", "b")), Dynamic, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := read(t, b)
	if got, want := w.tensors["w_quantized"], []byte{255, 255, 192, 128, 1, 129}; !bytes.Equal(got, want) || !slices.Equal(w.dims["w_quantized"], []int{3, 2}) {
		t.Errorf("w is %v of %v, want %v", got, w.dims["w_quantized"], want)
	}
	if got := w.nodes[len(w.nodes)-1]; got != "Add y_product,b -> y" {
		t.Errorf("the last node is %s", got)
	}
	if b, _, err = Network(context.Background(), whole(gemm(1, 0, "x", "w")), Blocks, nil); err != nil {
		t.Fatal(err)
	} else if w := read(t, b); !slices.Equal(w.dims["w_quantized"], []int{3, 1, 32}) || !slices.Equal(w.nodes, []string{"MatMulNBits x,w_quantized,w_scale -> y"}) {
		t.Errorf("%v, %v", w.dims["w_quantized"], w.nodes)
	}
	for want, nodes := range map[string][][]byte{
		"multiplies by no constant matrix": {gemm(2, 0, "x", "w", "b")},
		"both as it is and transposed":     {gemm(1, 1, "x", "w"), node("MatMul", "x w", "z")},
	} {
		if _, _, err := Network(context.Background(), whole(nodes...), Dynamic, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// TestRounding checks that no weight is further from what stands for it than half
// a step, by which 0 stays 0.
func TestRounding(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 2))
	m := &matrix{70, 5, make([]float32, 350)}
	for i := range m.values {
		m.values[i] = float32(g.NormFloat64() * math.Pow(10, float64(i%5)-2))
	}
	clear(m.values[:5])
	check := func(name string, i int, q int, scale float32) {
		t.Helper()
		if v := m.values[i]; q < -127 || q > 127 || math.Abs(float64(v)-float64(q)*float64(scale)) > .5001*float64(scale) || v == 0 && q != 0 {
			t.Errorf("%s: %g becomes %d times %g", name, v, q, scale)
		}
	}
	rows, rowScales := m.byRow()
	columns, columnScales := m.byColumn()
	blocks, blockScales := m.byBlock(32)
	if len(blocks) != 5*3*32 || len(blockScales) != 5*3 {
		t.Fatalf("%d values and %d scales in blocks", len(blocks), len(blockScales))
	}
	for i := range m.values {
		row, col := i/5, i%5
		check("by row", i, int(int8(rows[i])), rowScales[row])
		check("by column", i, int(columns[i])-middle, columnScales[col])
		check("by block", i, int(blocks[col*96+row])-middle, blockScales[col*3+row/32])
	}
	for _, q := range blocks[70:96] {
		if q != middle {
			t.Errorf("a block is filled up with %d", q)
		}
	}
}

func TestNetworkRefuses(t *testing.T) {
	x := info(onnxfile.GraphInput, "x")
	w := tensor("w", onnxfile.Float32, []int{1, 2}, floatsOf(1, 2))
	y := node("MatMul", "x w", "y")
	loop := onnxfile.AppendBytes(nil, onnxfile.NodeAttribute, onnxfile.AppendBytes(onnxfile.AppendBytes(nil, onnxfile.AttributeName, "body"), onnxfile.AttributeGraph, ""))
	beside := onnxfile.AppendBytes(nil, onnxfile.GraphInitializer, slices.Concat(
		onnxfile.AppendNumber(nil, onnxfile.TensorDims, 2), onnxfile.AppendNumber(nil, onnxfile.TensorDims, 2),
		onnxfile.AppendNumber(nil, onnxfile.TensorType, onnxfile.Float32), onnxfile.AppendBytes(nil, onnxfile.TensorName, "w")))
	for _, c := range []struct {
		want  string
		model []byte
	}{
		{"not an ONNX file", nil},
		{"not an ONNX file", []byte("hello, this is no model at all")},
		{"operators of version 10", network(10, x, w, y)},
		{"multiplies by no constant matrix", network(11, x, y)},
		{"multiplies by no constant matrix", network(11, x, tensor("w", onnxfile.Float32, []int{2}, floatsOf(1, 2)), y)},
		{"not of 32-bit floats, but of ONNX's type 10", network(11, x, tensor("w", 10, []int{1, 2}, make([]byte, 4)), y)},
		{"not in raw form", network(11, x, beside, y)},
		{"value 1 is NaN", network(11, x, tensor("w", onnxfile.Float32, []int{1, 2}, floatsOf(1, float32(math.NaN()))), y)},
		{"two weights are called \"w\"", network(11, x, w, w, y)},
		{"quantized already: node \"q\" is a QuantizeLinear", network(11, x, w, node("QuantizeLinear", "x", "q"), y)},
		{"has a graph of its own", network(11, x, w, onnxfile.AppendBytes(nil, onnxfile.GraphNode, loop), y)},
		{"a value of the name \"w_scale\" already", network(11, x, w, node("Abs", "x", "w_scale"), y)},
	} {
		for _, kind := range Kinds {
			if _, _, err := Network(context.Background(), c.model, kind, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		}
	}
	if _, _, err := Network(context.Background(), network(11, x, w, y), "both", nil); err == nil || !strings.Contains(err.Error(), "no kind") {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Network(ended, network(11, x, w, y), Dynamic, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// modelDir is the directory of a model that only this package can read.
func modelDir(t *testing.T, change func(*encoder.Model)) string {
	dir := t.TempDir()
	m := &encoder.Model{Format: 1, Name: "e5", Pooling: "mean", QueryPrefix: "query: ", PassagePrefix: "passage: ", MaxTokens: 8, Dimension: 2, Precision: "fp32"}
	change(m)
	err := errors.Join(os.WriteFile(filepath.Join(dir, encoder.NetworkFile), shared(), 0o644), os.WriteFile(filepath.Join(dir, encoder.TokenizerFile), []byte("{}"), 0o644),
		os.WriteFile(filepath.Join(dir, "training.json"), []byte("[]"), 0o644), encoder.WriteModel(dir, m))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDirectory(t *testing.T) {
	base := modelDir(t, func(*encoder.Model) {})
	root := t.TempDir()
	out := filepath.Join(root, "new", "int8")
	o := Options{Name: "e5-int8", Kind: Dynamic, Also: []string{"training.json", "absent.json"}}
	near := func(mean float64, err error) func(string) (encoder.Closeness, error) {
		return func(dir string) (encoder.Closeness, error) {
			if m, err2 := encoder.ReadModel(dir); err2 != nil || m.Verify(dir) != nil {
				t.Errorf("what is to be checked is not whole: %v", err2)
			}
			return encoder.Closeness{Texts: 3, Mean: mean, Min: .5}, err
		}
	}
	r, err := Directory(context.Background(), base, out, o, near(.99, nil))
	if err != nil {
		t.Fatal(err)
	}
	m, err := encoder.ReadModel(out)
	if err != nil || m.Verify(out) != nil {
		t.Fatal(err, m.Verify(out))
	}
	parent, _ := encoder.ReadModel(base)
	if m.Name != "e5-int8" || m.Parent != "e5" || m.Precision != "int8" || !reflect.DeepEqual(m.Quantized, &encoder.Quantized{Kind: "dynamic", Parent: parent.Hash(), Closeness: encoder.Closeness{Texts: 3, Mean: .99, Min: .5}}) {
		t.Errorf("%+v, %+v", m, m.Quantized)
	}
	if r.Model.Hash() != m.Hash() || r.Before != int64(len(shared())) || r.After >= r.Before {
		t.Errorf("%+v", r)
	}
	if b, _ := os.ReadFile(filepath.Join(out, "training.json")); string(b) != "[]" {
		t.Error("training.json is not copied")
	}
	// One of the same kind may be made again, and gives the same; after a failure the
	// old one is there. What was found of it stays.
	cost := encoder.Evidence{Catalogue: "shop", Hash: "1", Metric: "ndcg@10", Queries: 9, FP32: .5, Difference: -.001, Low: -.002, High: .001}
	if err := encoder.AddEvidence(out, parent.Hash(), m.Hash(), cost); err != nil {
		t.Fatal(err)
	}
	if err := encoder.AddEvidence(out, m.Hash(), m.Hash(), cost); err == nil || !strings.Contains(err.Error(), "did not make e5-int8 of the model") {
		t.Error(err)
	}
	if err := encoder.AddEvidence(base, parent.Hash(), parent.Hash(), cost); err == nil || !strings.Contains(err.Error(), "no model that trirank model quantize made") {
		t.Error(err)
	}
	if err := encoder.AddEvidence(out, parent.Hash(), parent.Hash(), cost); err == nil || !strings.Contains(err.Error(), "not the model that was measured") {
		t.Error(err)
	}
	cost.Difference, cost.Low = -.0005, -.001 // in place of what was known
	if err := encoder.AddEvidence(out, parent.Hash(), m.Hash(), cost); err != nil {
		t.Fatal(err)
	}
	cost.Difference = .1 // more than High
	if err := encoder.AddEvidence(out, parent.Hash(), m.Hash(), cost); err == nil || !strings.Contains(err.Error(), "a difference in \"ndcg@10\" of 0.1 within") {
		t.Error(err)
	}
	if m, err = encoder.ReadModel(out); err != nil || len(m.Quantized.Evidence) != 1 || m.Quantized.Evidence[0].Difference != -.0005 || m.Hash() != r.Model.Hash() {
		t.Errorf("%v, %+v", err, m.Quantized)
	}
	before, _ := os.ReadFile(filepath.Join(out, "model.json"))
	for _, c := range []struct {
		mean float64
		err  error
	}{{.99, nil}, {.9, nil}, {.99, errors.New("broken")}} {
		_, err := Directory(context.Background(), base, out, o, near(c.mean, c.err))
		if (err == nil) != (c.mean == .99 && c.err == nil) || c.mean == .9 && !strings.Contains(err.Error(), "their cosine is 0.900") {
			t.Errorf("%+v: %v", c, err)
		}
		if after, _ := os.ReadFile(filepath.Join(out, "model.json")); !bytes.Equal(after, before) {
			t.Errorf("%+v: the model is another", c)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	o.Kind = Blocks // another model, of which nothing is known
	if _, err := Directory(context.Background(), base, out, o, near(.99, nil)); err != nil {
		t.Fatal(err)
	}
	if m, err = encoder.ReadModel(out); err != nil || m.Quantized.Evidence != nil {
		t.Errorf("%v, %+v", err, m.Quantized)
	}

	other := modelDir(t, func(m *encoder.Model) { m.Parent = "e5" })
	for _, c := range []struct{ want, base, out string }{
		{"no such file", filepath.Join(root, "none"), out},
		{"its weights are int8", out, filepath.Join(root, "twice")},
		{"it is the model to begin with", base, base},
		{"there is another model, e5", base, other}, // not quantized, though a child
		{"it holds new, which is no part", base, root},
	} {
		if _, err := Directory(context.Background(), c.base, c.out, o, near(1, nil)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v does not say %q", err, c.want)
		}
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add(shared())
	f.Add(network(11, tensor("w", onnxfile.Float32, []int{1, 2}, floatsOf(1, 2)), node("MatMul", "x w", "y")))
	f.Add(network(11, tensor("w", onnxfile.Float32, []int{1, 2}, floatsOf(1, 2)), gemm(1, 1, "x", "w", "b")))
	f.Add(expanding(11))
	f.Add([]byte{})
	peaks := func(_ context.Context, _ []byte, values []string) ([][]float32, error) {
		return slices.Repeat([][]float32{{1, 100, 1, 2}}, len(values)), nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range Kinds {
			out, changed, err := Network(context.Background(), b, kind, peaks)
			if err != nil {
				continue
			}
			if _, _, err := Network(context.Background(), out, kind, nil); err == nil || changed.Matrices < 1 {
				t.Errorf("%d matrices were quantized, and can be again", changed.Matrices)
			}
		}
	})
}

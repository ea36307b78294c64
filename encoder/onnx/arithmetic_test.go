package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx/operators"
	"github.com/trirank/trirank/encoder/quantize"
	"github.com/trirank/trirank/internal/onnxfile"
)

// small is a network of one table, one matrix and a bias.
type small struct {
	words, in, out     int
	opset              uint64
	table, matrix, add []float32
}

// newSmall has 40 channels, no multiple of the 32 by which blocks are made.
func newSmall(words, out int) *small { return newNetwork(words, 40, out) }

func newNetwork(words, in, out int) *small {
	s := &small{words: words, in: in, out: out, opset: 11}
	g := rand.New(rand.NewPCG(3, 4))
	fill := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(g.NormFloat64())
		}
		return v
	}
	s.table, s.matrix, s.add = fill(s.words*s.in), fill(s.in*s.out), fill(s.out)
	return s
}

// model is the network, with a Gemm of the transposed matrix, which wants activations of
// two dimensions, or a MatMul and an Add.
func (s *small) model(gemm bool) []byte {
	node := func(op, a, b, out string) []byte { return nodeOf(onnxfile.Node{Op: op, Inputs: []string{a, b}}, out) }
	product := slices.Concat(weight("matrix", s.matrix, s.in, s.out), node("MatMul", "x", "matrix", "y"), node("Add", "y", "bias", "last_hidden_state"))
	if gemm {
		turned := make([]float32, len(s.matrix))
		for i, v := range s.matrix {
			turned[i%s.out*s.in+i/s.out] = v
		}
		product = slices.Concat(weight("matrix", turned, s.out, s.in), shape("flat", -1, int64(s.in)), shape("deep", 1, -1, int64(s.out)),
			node("Reshape", "x", "flat", "z"),
			onnxfile.AppendNode(nil, onnxfile.GraphNode, onnxfile.Node{Name: "y", Op: "Gemm", Inputs: []string{"z", "matrix", "bias"}, Outputs: []string{"y"}, Ints: map[string]int64{"transB": 1}}),
			node("Reshape", "y", "deep", "last_hidden_state"))
	}
	return network(s.opset, s.out, weight("table", s.table, s.words, s.in), weight("bias", s.add, s.out), node("Gather", "table", "input_ids", "x"), product)
}

// Parts of networks.

func info(field protowire.Number, name string, kind uint64, dims ...uint64) []byte {
	var shape []byte
	for _, d := range dims {
		if d == 0 { // any
			shape = onnxfile.AppendBytes(shape, 1, onnxfile.AppendBytes(nil, 2, name+"_any"))
		} else {
			shape = onnxfile.AppendBytes(shape, 1, onnxfile.AppendNumber(nil, 1, d))
		}
	}
	tensor := onnxfile.AppendBytes(onnxfile.AppendNumber(nil, 1, kind), 2, shape)
	return onnxfile.AppendBytes(nil, field, onnxfile.AppendBytes(onnxfile.AppendBytes(nil, onnxfile.InfoName, name), 2, onnxfile.AppendBytes(nil, 1, tensor)))
}

func weight(name string, values []float32, dims ...int) []byte {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return onnxfile.AppendTensor(nil, onnxfile.GraphInitializer, name, onnxfile.Float32, dims, raw)
}

func shape(name string, dims ...int64) []byte {
	var raw []byte
	for _, d := range dims {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(d))
	}
	return onnxfile.AppendTensor(nil, onnxfile.GraphInitializer, name, onnxfile.Int64, []int{len(dims)}, raw)
}

func nodeOf(n onnxfile.Node, out string) []byte {
	n.Name, n.Outputs = out, []string{out}
	return onnxfile.AppendNode(nil, onnxfile.GraphNode, n)
}

// network is a model whose parts make last_hidden_state, of so many channels.
func network(opset uint64, channels int, parts ...[]byte) []byte {
	graph := slices.Concat(
		onnxfile.AppendBytes(nil, 2, "small"),
		info(onnxfile.GraphInput, "input_ids", onnxfile.Int64, 0, 0), info(onnxfile.GraphInput, "attention_mask", onnxfile.Int64, 0, 0),
		slices.Concat(parts...),
		info(onnxfile.GraphOutput, "last_hidden_state", onnxfile.Float32, 0, 0, uint64(channels)))
	b := onnxfile.AppendBytes(onnxfile.AppendNumber(nil, 1, 8), onnxfile.ModelGraph, graph) // of version 8
	return onnxfile.AppendBytes(b, onnxfile.ModelOpsets, onnxfile.AppendNumber(nil, onnxfile.OpsetVersion, opset))
}

// run gives the network, quantized or not, to ONNX Runtime.
func (s *small) run(t *testing.T, model []byte, ids []int64) []float32 {
	t.Helper()
	return runNetwork(t, model, s.out, 1, ids, make([]int64, len(ids)))
}

// runNetwork gives a network, for which ids and mask are of so many rows, to ONNX Runtime.
func runNetwork(t *testing.T, model []byte, dimension, rows int, ids, mask []int64) []float32 {
	t.Helper()
	dir := t.TempDir()
	tokenizer, err := os.ReadFile(filepath.Join(os.Getenv("TRIRANK_MODELS"), "e5-small-v2", encoder.TokenizerFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, encoder.TokenizerFile), tokenizer, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, encoder.NetworkFile), model, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := load(dir, &encoder.Model{Dimension: dimension, MaxTokens: 512}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	hidden := make([]float32, len(ids)*dimension)
	if err := m.Run(rows, len(ids)/rows, ids, mask, hidden); err != nil {
		t.Fatal(err)
	}
	return hidden
}

// lines rounds values to at most 127 steps of either sign; stride apart are those of
// one scale.
func lines(values []float32, from, stride, n int) (q []int, scale float32) {
	most := float32(0)
	for i := range n {
		most = max(most, float32(math.Abs(float64(values[from+i*stride]))))
	}
	scale = most / 127
	for i := range n {
		q = append(q, int(math.RoundToEven(float64(values[from+i*stride]/scale))))
	}
	return q, scale
}

// rows are the rows of the table, by its 8 bits if it is large.
func (s *small) rows(ids []int64) (x []float32) {
	for _, id := range ids {
		if 4*len(s.table) < 1<<20 {
			x = append(x, s.table[int(id)*s.in:int(id+1)*s.in]...)
			continue
		}
		q, scale := lines(s.table, int(id)*s.in, 1, s.in)
		for _, v := range q {
			x = append(x, float32(v)*scale)
		}
	}
	return x
}

// dynamic is by the definitions of DynamicQuantizeLinear and MatMulInteger.
func (s *small) dynamic(ids []int64) (out []float32) {
	x := s.rows(ids)
	low, high := min(slices.Min(x), 0), max(slices.Max(x), 0)
	step := (high - low) / 255
	zero := int(math.RoundToEven(float64(-low / step)))
	a := make([]int, len(x))
	for i, v := range x {
		a[i] = min(max(int(math.RoundToEven(float64(v/step)))+zero, 0), 255) - zero
	}
	for t := range ids {
		for j := range s.out {
			w, scale := lines(s.matrix, j, s.out, s.in)
			sum := 0
			for k, v := range w {
				sum += a[t*s.in+k] * v
			}
			out = append(out, float32(sum)*(step*scale)+s.add[j])
		}
	}
	return out
}

// blocks adds up the products of 32 at a time as whole numbers.
func (s *small) blocks(ids []int64) (out []float32) {
	x := s.rows(ids)
	for t := range ids {
		for j := range s.out {
			y := float64(s.add[j])
			for from := 0; from < s.in; from += 32 {
				n := min(32, s.in-from)
				a, step := lines(x, t*s.in+from, 1, n)
				w, scale := lines(s.matrix, from*s.out+j, s.out, n)
				sum := 0
				for k := range n {
					sum += a[k] * w[k]
				}
				y += float64(sum) * float64(step) * float64(scale)
			}
			out = append(out, float32(y))
		}
	}
	return out
}

// tokens gives each token's activations a scale, after dividing its channels.
func (s *small) tokens(ids []int64, divisors []float32) (out []float32) {
	x, matrix := s.rows(ids), slices.Clone(s.matrix)
	for i := range x {
		x[i] /= divisors[i%s.in]
	}
	for i := range matrix {
		matrix[i] *= divisors[i/s.out]
	}
	for t := range ids {
		values := x[t*s.in : (t+1)*s.in]
		most := max(slices.Max(values), -slices.Min(values))
		stretch := 127 / most
		for j := range s.out {
			w, scale := lines(matrix, j, s.out, s.in)
			sum := 0
			for k, v := range values {
				sum += int(math.RoundToEven(float64(v*stretch))) * w[k]
			}
			out = append(out, float32(float64(sum)*float64(most/127)*float64(scale)+float64(s.add[j])))
		}
	}
	return out
}

// TestQuantizedArithmetic checks that ONNX Runtime computes with a quantized network
// what whole numbers give.
func TestQuantizedArithmetic(t *testing.T) {
	s := newSmall(8000, 24)
	ones := slices.Repeat([]float32{1}, s.in)
	ids := []int64{5, 7999, 0, 123, 4567}
	for _, gemm := range []bool{false, true} {
		exact := s.run(t, s.model(gemm), ids)
		for kind, want := range map[quantize.Kind][]float32{quantize.Dynamic: s.dynamic(ids), quantize.Blocks: s.blocks(ids), quantize.Tokens: s.tokens(ids, ones)} {
			model, changed, err := quantize.Network(context.Background(), s.model(gemm), kind, nil)
			if err != nil || changed != (quantize.Changed{Matrices: 1, Tables: 1}) {
				t.Fatal(changed, err)
			}
			got := s.run(t, model, ids)
			off, rounding := 0., 0.
			for i := range got {
				off = max(off, math.Abs(float64(got[i]-want[i])))
				rounding = max(rounding, math.Abs(float64(got[i]-exact[i])))
			}
			t.Logf("%s, Gemm %v: at most %.1e from whole numbers, %.1e from fp32", kind, gemm, off, rounding)
			// Values are about 6; a step of one weight or activation is .02.
			if off > 2e-5 || rounding > .3 || rounding == 0 {
				t.Errorf("%s, Gemm %v: %g from what whole numbers give, %g from fp32", kind, gemm, off, rounding)
			}
		}
	}
}

// TestTokenProducts checks the operators made for quantized networks, and what ONNX
// Runtime makes of the functions in their place, for matrices and numbers of tokens that
// are computed in different ways: K of tiles, of whole registers, and others.
func TestTokenProducts(t *testing.T) {
	for _, x := range []struct{ in, out, tokens int }{{64, 64, 1}, {64, 16, 16}, {128, 70, 17}, {192, 130, 70}, {384, 48, 129}, {40, 64, 6}, {68, 70, 31}, {5, 3, 4}, {70, 1, 7}} {
		s := newNetwork(50, x.in, x.out)
		ids := make([]int64, x.tokens)
		for i := range ids {
			ids[i] = int64(i * 7 % 50)
		}
		for i := range x.in { // a token of no activations
			s.table[14*x.in+i] = 0
		}
		ones := slices.Repeat([]float32{1}, s.in)
		model, _, err := quantize.Network(context.Background(), s.model(false), quantize.Tokens, nil)
		if err != nil {
			t.Fatal(err)
		}
		own := s.run(t, model, ids)
		vectors := withoutTiles(func() []float32 { return s.run(t, model, ids) })
		if !slices.EqualFunc(own, vectors, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%+v: tiles give %g…, vectors %g…", x, own[:1], vectors[:1])
		}
		plain := plainly(func() []float32 { return s.run(t, model, ids) })
		want := s.tokens(ids, ones)
		if operators.Supported() {
			for _, at := range []int{0, x.in / 2, x.in - 1} {
				s := newNetwork(50, x.in, x.out)
				s.table[7*x.in+at] = float32(math.NaN())
				model, _, err := quantize.Network(context.Background(), s.model(false), quantize.Tokens, nil)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range s.run(t, model, []int64{6, 7, 8}) {
					if math.IsNaN(float64(v)) != (i/x.out == 1) {
						t.Errorf("%+v: NaN in channel %d of a token makes value %d %g", x, at, i, v)
					}
				}
			}
		}
		for i := range want {
			if math.IsNaN(float64(want[i])) { // of the token of no activations
				want[i] = s.add[i%s.out]
			}
			if d := max(math.Abs(float64(own[i]-want[i])), math.Abs(float64(plain[i]-want[i]))); !(d <= 1e-4) {
				t.Fatalf("%+v: value %d is %g, %g by ONNX Runtime's operators; whole numbers give %g", x, i, own[i], plain[i], want[i])
			}
		}
	}
}

// TestQuantizedPeaks does so where a channel of the activations stands out.
func TestQuantizedPeaks(t *testing.T) {
	s := newSmall(1000, 64) // a table too small to be rounded, and more columns than rows
	const loud = 7
	for i := loud; i < len(s.table); i += s.in {
		s.table[i] *= 40
	}
	ids := []int64{5, 799, 0, 123, 456}
	look := func(ctx context.Context, network []byte, values []string) ([][]float32, error) {
		return peaks(ctx, network, values, [][]uint32{{1, 2, 3, 4}, {17, 18}, {500, 600, 700}})
	}
	for _, x := range []struct {
		gemm  bool
		opset uint64 // 18 has another ReduceMax
	}{{false, 11}, {true, 11}, {false, 18}, {true, 18}} {
		s.opset = x.opset
		exact := s.run(t, s.model(x.gemm), ids)
		off := map[bool]float64{}
		for _, even := range []bool{false, true} {
			divisors, given := slices.Repeat([]float32{1}, s.in), quantize.Peaks(nil)
			if even {
				divisors[loud], given = 16, look
			}
			model, _, err := quantize.Network(context.Background(), s.model(x.gemm), quantize.Tokens, given)
			if err != nil {
				t.Fatal(err)
			}
			got, want := s.run(t, model, ids), s.tokens(ids, divisors)
			for i := range got {
				if d := math.Abs(float64(got[i] - want[i])); d > 1e-4 {
					t.Fatalf("%+v: value %d is %g, whole numbers give %g", x, i, got[i], want[i])
				}
				off[even] = max(off[even], math.Abs(float64(got[i]-exact[i])))
			}
		}
		t.Logf("%+v: at most %.2f from fp32, %.2f where the channel is divided", x, off[false], off[true])
		if off[true] > .5*off[false] {
			t.Errorf("%+v: dividing the channel helps too little: %.2f from fp32, %.2f without", x, off[true], off[false])
		}
	}
}

func TestPeaks(t *testing.T) {
	s := newSmall(8000, 24)
	got, err := peaks(context.Background(), s.model(false), []string{"last_hidden_state"}, [][]uint32{{1, 2}, {3}})
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, s.out)
	for i, v := range s.run(t, s.model(false), []int64{1, 2, 3}) {
		want[i%s.out] = max(want[i%s.out], v, -v)
	}
	for i := range want {
		if math.Abs(float64(got[0][i]-want[i])) > 1e-5 {
			t.Errorf("channel %d reaches %g, want %g", i, got[0][i], want[i])
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := peaks(ended, s.model(false), []string{"last_hidden_state"}, [][]uint32{{1}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for want, f := range map[string]func() ([][]float32, error){
		"protobuf parsing failed": func() ([][]float32, error) {
			return peaks(context.Background(), []byte("no model"), []string{"x"}, nil)
		},
		"nowhere": func() ([][]float32, error) {
			return peaks(context.Background(), s.model(false), []string{"nowhere"}, [][]uint32{{1}})
		},
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

package quantize

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/onnxfile"
)

// expanding is a network in which three activations are multiplied by constants: x by
// more columns than it has channels, y by fewer, and u by a matrix that v is multiplied by
// as well.
func expanding(version uint64, more ...[]byte) []byte {
	return network(version, append(more,
		info(onnxfile.GraphInput, "x"),
		tensor("q", onnxfile.Float32, []int{4, 3}, floatsOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
		tensor("k", onnxfile.Float32, []int{4, 3}, floatsOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
		tensor("w", onnxfile.Float32, []int{3, 2}, floatsOf(1, 2, 3, 4, 5, 6)),
		tensor("both", onnxfile.Float32, []int{3, 4}, floatsOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
		node("MatMul", "x q", "y"), node("MatMul", "x k", "u"), node("MatMul", "y w", "z"),
		node("MatMul", "u both", "a"), node("MatMul", "v both", "b"),
		info(onnxfile.GraphOutput, "z"))...)
}

func TestTokens(t *testing.T) {
	var watched []byte
	peaks := func(_ context.Context, network []byte, values []string) ([][]float32, error) {
		watched = network
		if !slices.Equal(values, []string{"x"}) {
			t.Errorf("peaks of %q are asked for", values)
		}
		return [][]float32{{1, 100, 1, 2}}, nil // 100 is divided by 2^5, 2 stays
	}
	b, changed, err := Network(context.Background(), expanding(11), Tokens, peaks)
	if err != nil || changed != (Changed{4, 0}) {
		t.Fatal(changed, err)
	}
	if got := outputs(t, watched); !slices.Equal(got, []string{"z", "x"}) {
		t.Errorf("the watched network gives %q", got)
	}
	// What it gives anyway is not named twice.
	if _, _, err := Network(context.Background(), expanding(11, info(onnxfile.GraphOutput, "x")), Tokens, peaks); err != nil {
		t.Fatal(err)
	}
	if got := outputs(t, watched); !slices.Equal(got, []string{"x", "z"}) {
		t.Errorf("the watched network gives %q", got)
	}
	w := read(t, b)
	if got, want := w.tensors["x_factor"], floatsOf(1, 1./32, 1, 1); !bytes.Equal(got, want) {
		t.Errorf("x is multiplied by %v, want %v", got, want)
	}
	// The second row, times 32, is the greatest of each column.
	if got, want := w.tensors["q_scale"], floatsOf(4*32./127/127, 5*32./127/127, 6*32./127/127); !bytes.Equal(got, want) {
		t.Errorf("the scales of q are %v, want %v", got, want)
	}
	if got, want := w.tensors["q_quantized"], []byte{129, 130, 130, 255, 255, 255, 135, 134, 134, 138, 137, 136}; !bytes.Equal(got, want) {
		t.Errorf("q is %v, want %v", got, want)
	}
	want := []string{
		"Mul x,x_factor -> x_divided", "RoundTokens x_divided -> x_quantized,x_peak",
		"TokenProduct x_quantized,x_peak,q_quantized,q_scale,quantized_no_bias_3 -> y",
		"TokenProduct x_quantized,x_peak,k_quantized,k_scale,quantized_no_bias_3 -> u",
		"RoundTokens y -> y_quantized,y_peak",
	}
	if got := w.nodes[:len(want)]; !slices.Equal(got, want) {
		t.Errorf("nodes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := w.functions[RoundTokens], []string{
		"Constant  -> one", "Constant  -> most", "Constant  -> least", "Constant  -> quantized_weights_zero_point",
		"Abs x -> magnitude", "ReduceMax magnitude -> highest", "Max highest,least -> peak", "Div most,peak -> stretch", "Mul x,stretch -> stretched",
		"QuantizeLinear stretched,one,quantized_weights_zero_point -> rounded",
	}; !slices.Equal(got, want) {
		t.Errorf("RoundTokens is made of:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if w.opsets[contrib] != 1 || w.opsets[Domain] != 1 || w.version != onnxfile.FunctionsVersion {
		t.Errorf("opsets %v, version %d", w.opsets, w.version)
	}
	if again, _, _ := Network(context.Background(), expanding(11), Tokens, peaks); !bytes.Equal(again, b) {
		t.Error("the same model is written in other bytes")
	}
	// Later versions of ReduceMax have their axes as an input.
	if b, _, err = Network(context.Background(), expanding(18), Tokens, nil); err != nil {
		t.Fatal(err)
	}
	if w = read(t, b); !slices.Contains(w.functions[RoundTokens], "ReduceMax magnitude,last -> highest") || w.tensors["x_factor"] != nil {
		t.Errorf("%v", w.nodes)
	}
}

// outputs are the names of what a network gives.
func outputs(t *testing.T, network []byte) (names []string) {
	t.Helper()
	if err := onnxfile.Graph(network, func(x onnxfile.Field) error {
		if x.Number != onnxfile.GraphOutput {
			return nil
		}
		name, err := infoName(network, x)
		names = append(names, name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestTokensRefuses(t *testing.T) {
	for want, peaks := range map[string]Peaks{
		"its activations cannot be looked at: broken": func(context.Context, []byte, []string) ([][]float32, error) { return nil, errors.New("broken") },
		"\"x\" has 3 channels":                        func(context.Context, []byte, []string) ([][]float32, error) { return [][]float32{{1, 2, 3}}, nil },
	} {
		if _, _, err := Network(context.Background(), expanding(11), Tokens, peaks); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	uneven := expanding(11, tensor("other", onnxfile.Float32, []int{3, 9}, make([]byte, 4*27)), node("MatMul", "x other", "c"))
	want := "\"x\" is multiplied by matrices of 3 and of 4 rows"
	if _, _, err := Network(context.Background(), uneven, Tokens, Peaks(nil)); err != nil {
		t.Error(err)
	}
	none := func(context.Context, []byte, []string) ([][]float32, error) { return nil, nil }
	if _, _, err := Network(context.Background(), uneven, Tokens, none); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v does not say %q", err, want)
	}
	if _, _, err := Network(context.Background(), expanding(11), Tokens, none); err == nil || !strings.Contains(err.Error(), "there are 0 of 1") {
		t.Error(err)
	}
}

func TestDivisors(t *testing.T) {
	for _, c := range []struct{ peaks, want []float32 }{
		{[]float32{1, 1, 1, 2.8}, nil},
		{[]float32{1, 1, 1, 2.9}, []float32{1, 1, 1, 2}},
		{[]float32{1, 30, .01, 1, 0}, []float32{1, 16, 1, 1, 1}},
		{[]float32{1, 1, 1e30}, []float32{1, 1, 256}}, // weights must stay finite
		{[]float32{0, 0, 0}, nil},
		{[]float32{0, 0, 1}, nil}, // nothing to be compared with
	} {
		if got := divisors(c.peaks); !slices.Equal(got, c.want) {
			t.Errorf("%v are divided by %v, want %v", c.peaks, got, c.want)
		}
	}
}

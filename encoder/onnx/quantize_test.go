package onnx_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/encoder/onnx/operators"
	"github.com/trirank/trirank/encoder/quantize"
	"github.com/trirank/trirank/internal/peers"
)

// quantized opens what package quantize makes of E5.
func quantized(t testing.TB, kind quantize.Kind) *encoder.Encoder {
	t.Helper()
	return openDir(t, quantizedDir(t, kind))
}

func quantizedDir(t testing.TB, kind quantize.Kind) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	_, err := quantize.Directory(context.Background(), modelDir(t, "e5-small-v2"), dir, quantize.Options{Name: string(kind), Kind: kind, Peaks: onnx.Peaks(modelDir(t, "e5-small-v2"), quantize.SampleTokens)},
		func(string) (encoder.Closeness, error) { return encoder.Closeness{Mean: 1, Min: 1}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func openDir(t testing.TB, dir string) *encoder.Encoder {
	t.Helper()
	e, err := onnx.Open(dir, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func near(t testing.TB, e, fp32 *encoder.Encoder) encoder.Closeness {
	t.Helper()
	c, err := quantize.Compare(context.Background(), fp32, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: cosine to fp32 %.5f on average, %.5f at least", e.Model.Name, c.Mean, c.Min)
	return c
}

// TestQuantized checks how near E5 of each kind is to fp32, and for which of them
// a vector depends on what else is in its batch.
func TestQuantized(t *testing.T) {
	if testing.Short() {
		t.Skip("it rounds the weights of E5 three times, which the race detector makes slow")
	}
	fp32 := open(t, "e5-small-v2")
	if c := near(t, fp32, fp32); c.Mean != 1 || c.Min != 1 {
		t.Errorf("a model differs from itself: %+v", c)
	}
	for _, x := range []struct {
		kind      quantize.Kind
		mean, min float64 // of cosines to fp32; .9980 and .9970, .99985 and .9998, .99965 and .9995 were measured
		alone     float64 // of vectors in a batch to those alone; .996, 1 and 1
	}{{quantize.Dynamic, .9970, .9945, .99}, {quantize.Blocks, .9997, .9995, .999999}, {quantize.Tokens, .9995, .9990, .999999}} {
		e := quantized(t, x.kind)
		if err := e.SelfTest(context.Background()); err != nil {
			t.Error(err)
		}
		if c := near(t, e, fp32); c.Mean < x.mean || c.Min < x.min {
			t.Errorf("%s: cosines to fp32 %+v, at least %g and %g expected", x.kind, c, x.mean, x.min)
		}
		texts, dim := titles(16), e.Model.Dimension
		together := make([]float32, len(texts)*dim)
		if err := e.Passages(context.Background(), texts, together); err != nil {
			t.Fatal(err)
		}
		least := 1.
		for i := range texts {
			alone := make([]float32, dim)
			if err := e.Passages(context.Background(), texts[i:i+1], alone); err != nil {
				t.Fatal(err)
			}
			cos := 0.
			for j, v := range alone {
				cos += float64(v) * float64(together[i*dim+j])
			}
			least = min(least, cos)
		}
		t.Logf("%s: cosine of vectors alone and in a batch %.6f at least", x.kind, least)
		if least < x.alone {
			t.Errorf("%s: the batch changes vectors to a cosine of %.6f, at least %g expected", x.kind, least, x.alone)
		}
	}
}

// TestOwnOperators checks that vectors by the operators made for quantized networks are as
// near to fp32 as those by ONNX Runtime's, and that what is in the batch and how many
// threads there are changes no bit. They are no nearer to each other than to fp32: what
// differs in the seventh digit is rounded to another step here and there, and after some
// layers rounding errors have nothing in common.
func TestOwnOperators(t *testing.T) {
	if testing.Short() {
		t.Skip("it rounds the weights of E5, which the race detector makes slow")
	}
	if !operators.Supported() {
		t.Log("this processor has no VNNI: ONNX Runtime computes with its own operators")
	}
	dir := quantizedDir(t, quantize.Tokens)
	own := openDir(t, dir)
	restore := onnx.PlainOperators()
	defer restore()
	plain, err := onnx.Open(dir, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	restore()
	threads, err := onnx.Open(dir, onnx.Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer threads.Close()
	texts := append(titles(16), "mug", strings.Repeat("a very long description of a small thing ", 100))
	dim := own.Model.Dimension
	vectors := func(e *encoder.Encoder, texts ...string) []float32 {
		v := make([]float32, len(texts)*dim)
		if err := e.Passages(context.Background(), texts, v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	got, want, many := vectors(own, texts...), vectors(plain, texts...), vectors(threads, texts...)
	if !slices.Equal(got, many) {
		t.Error("three threads give other vectors than one")
	}
	least := 1.
	for i, text := range texts {
		cos := 0.
		for j := i * dim; j < (i+1)*dim; j++ {
			cos += float64(got[j]) * float64(want[j])
		}
		least = min(least, cos)
		if operators.Supported() && !slices.Equal(vectors(own, text), got[i*dim:(i+1)*dim]) {
			t.Errorf("%.40q has another vector alone than in a batch", text)
		}
	}
	t.Logf("cosine to the vectors of ONNX Runtime's operators: %.6f at least", least)
	if least < .999 {
		t.Errorf("cosine to the vectors of ONNX Runtime's operators: %.6f", least)
	}
	fp32 := open(t, "e5-small-v2")
	if own, plain := near(t, own, fp32), near(t, plain, fp32); own.Mean < plain.Mean-.0001 || own.Min < plain.Min-.0005 {
		t.Errorf("cosines to fp32 %+v, %+v by ONNX Runtime's operators", own, plain)
	}
}

// titles are n titles of products, of different lengths.
func titles(n int) (texts []string) {
	for i := range n {
		s := fmt.Sprintf("Norrvik %dW USB-C Wall Charger", 10+i)
		if i%2 > 0 {
			s += fmt.Sprintf(" with Foldable Plug and Braided Cable, White, Pack of %d", i)
		}
		if i%3 > 0 {
			s += ", for phones, tablets and notebooks"
		}
		texts = append(texts, s)
	}
	return texts
}

// peerModel is what a tool of ONNX Runtime's makes of E5, in Python.
func peerModel(t testing.TB, script, name, precision string) *encoder.Encoder {
	t.Helper()
	python := peers.Python(t, "onnx, onnxruntime")
	if python == "" {
		t.Skip("there is no Python with onnx and onnxruntime (make test-peers)")
	}
	base, dir := modelDir(t, "e5-small-v2"), t.TempDir()
	cmd := exec.Command(python, filepath.Join("testdata/peers", script), filepath.Join(base, encoder.NetworkFile), filepath.Join(dir, encoder.NetworkFile))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, b)
	}
	tokenizer, err := os.ReadFile(filepath.Join(base, encoder.TokenizerFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, encoder.TokenizerFile), tokenizer, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := encoder.ReadModel(base)
	if err != nil {
		t.Fatal(err)
	}
	m.Name, m.Precision = name, precision
	if err := encoder.WriteModel(dir, m); err != nil {
		t.Fatal(err)
	}
	return openDir(t, dir)
}

// peerQuantized is E5 in 8 bits as ONNX Runtime's own tool makes it.
func peerQuantized(t testing.TB) *encoder.Encoder {
	return peerModel(t, "quantize.py", "quantize_dynamic", "int8")
}

// peerFused is E5 with the nodes of a layer fused by ONNX Runtime's own tool.
func peerFused(t testing.TB) *encoder.Encoder {
	return peerModel(t, "fuse.py", "fused", "fp32")
}

// TestPeersFused checks that a graph that ONNX Runtime's tool fused may be used like any
// other, and that nothing is lost by it.
func TestPeersFused(t *testing.T) {
	if c := near(t, peerFused(t), open(t, "e5-small-v2")); c.Min < .999999 {
		t.Errorf("cosines of the fused graph's vectors %+v", c)
	}
}

// TestPeersQuantized compares the nearness to fp32 of what we make with that of what
// ONNX Runtime's own tool makes.
func TestPeersQuantized(t *testing.T) {
	theirs, fp32 := peerQuantized(t), open(t, "e5-small-v2")
	want := near(t, theirs, fp32)
	for _, kind := range quantize.Kinds {
		// On 40 texts .0002 is chance.
		if c := near(t, quantized(t, kind), fp32); c.Mean < want.Mean-.0002 || c.Min < want.Min-.001 {
			t.Errorf("%s: cosines to fp32 %+v; of the tool's model %+v", kind, c, want)
		}
	}
}

// BenchmarkPeersQuantized times a query, and a batch of 16 titles, with the fp32
// model, ours and those of ONNX Runtime's own tools. They take turns, so that the
// ratios of one run hold on a machine that does other things as well.
func BenchmarkPeersQuantized(b *testing.B) {
	encoders := []*encoder.Encoder{open(b, "e5-small-v2"), quantized(b, quantize.Tokens), quantized(b, quantize.Dynamic), quantized(b, quantize.Blocks), peerQuantized(b), peerFused(b)}
	ctx, texts := context.Background(), titles(16)
	dst := make([]float32, len(texts)*384)
	for _, x := range []struct {
		name string
		do   func(*encoder.Encoder) error
	}{
		{"query", func(e *encoder.Encoder) error {
			_, err := e.Query(ctx, "usb c charger for iphone fast charging")
			return err
		}},
		{"batch=16", func(e *encoder.Encoder) error { return e.Passages(ctx, texts, dst) }},
	} {
		b.Run(x.name, func(b *testing.B) {
			times := make([][]float64, len(encoders))
			for b.Loop() {
				for i, e := range encoders {
					start := time.Now()
					if err := x.do(e); err != nil {
						b.Fatal(err)
					}
					times[i] = append(times[i], float64(time.Since(start).Microseconds())/1e3)
				}
			}
			for i, e := range encoders {
				slices.Sort(times[i])
				b.ReportMetric(times[i][len(times[i])/2], e.Model.Name+"-ms")
			}
		})
	}
}

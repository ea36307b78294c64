package onnx_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/internal/fakegpu"
)

// TestGPUMissing opens a model for a GPU where something is missing, and then for the
// processor.
func TestGPUMissing(t *testing.T) {
	if fakegpu.Real() {
		t.Skip("here is one")
	}
	dir := modelDir(t, "e5-small-v2")
	for name, c := range map[string]struct{ library, want string }{
		"nowhere":     {"", "run make gpu"},
		"elsewhere":   {filepath.Join(t.TempDir(), "none.so"), "TRIRANK_ONNXRUNTIME_GPU"},
		"no provider": {os.Getenv("TRIRANK_ONNXRUNTIME"), "CUDA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TRIRANK_ONNXRUNTIME_GPU", c.library)
			if _, err := onnx.Open(dir, onnx.Options{GPU: &onnx.GPU{}}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "GPU 0") {
				t.Errorf("error %v does not name the GPU and %q", err, c.want)
			}
			e, err := onnx.Open(dir, onnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.SelfTest(context.Background()); err != nil {
				t.Error(err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// onGPU opens the model on the GPU, and on the processor with the same library.
func onGPU(t testing.TB) (gpu, cpu *encoder.Encoder) {
	if !fakegpu.Real() || os.Getenv("TRIRANK_ONNXRUNTIME_GPU") == "" {
		t.Skip("TRIRANK_TEST_GPU and TRIRANK_ONNXRUNTIME_GPU do not name a GPU and its library")
	}
	dir := modelDir(t, "e5-small-v2")
	gpu, err := onnx.Open(dir, onnx.Options{GPU: &onnx.GPU{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gpu.Close() })
	if cpu, err = onnx.Open(dir, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cpu.Close() })
	return gpu, cpu
}

// TestGPUAgrees compares vectors made on a GPU with the processor's.
func TestGPUAgrees(t *testing.T) {
	gpu, cpu := onGPU(t)
	var texts []string
	for _, r := range references(t) {
		texts = append(texts, r.Text)
	}
	dim := cpu.Model.Dimension
	got, want := make([]float32, len(texts)*dim), make([]float32, len(texts)*dim)
	if err := gpu.Passages(t.Context(), texts, got); err != nil {
		t.Fatal(err)
	}
	if err := cpu.Passages(t.Context(), texts, want); err != nil {
		t.Fatal(err)
	}
	if d := maxDiff(got, want); d > 1e-3 {
		t.Errorf("values are up to %g apart", d)
	}
}

// BenchmarkGPU encodes on both.
func BenchmarkGPU(b *testing.B) {
	gpu, cpu := onGPU(b)
	texts := make([]string, 256)
	for i := range texts {
		texts[i] = fmt.Sprintf("Stainless steel water bottle, insulated, %d ounces, with straw lid and handle, colour %d", i%64, i)
	}
	out := make([]float32, len(texts)*cpu.Model.Dimension)
	for _, x := range []struct {
		name string
		e    *encoder.Encoder
	}{{"cpu", cpu}, {"gpu", gpu}} {
		for _, n := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("texts=%d/device=%s", n, x.name), func(b *testing.B) {
				for b.Loop() {
					if err := x.e.Passages(b.Context(), texts[:n], out[:n*x.e.Model.Dimension]); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "texts/s")
			})
		}
	}
}

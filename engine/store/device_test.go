package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/internal/fakegpu"
)

func TestDeviceFlag(t *testing.T) {
	for given, want := range map[string]string{"auto": "auto", "cpu": "cpu", "gpu": "gpu", "gpu:0": "gpu", "gpu:3": "gpu:3"} {
		var d store.Device
		if err := d.Set(given); err != nil || d.String() != want {
			t.Errorf("%s becomes %s, %v", given, d.String(), err)
		}
	}
	for _, wrong := range []string{"", "cuda", "gpu:", "gpu:x", "gpu:-1", "gpu:1000", "cpu:0", "auto:1", "GPU"} {
		d := store.Auto
		if err := d.Set(wrong); err == nil || !strings.Contains(err.Error(), "there are auto, cpu, gpu and gpu:N") || d != store.Auto {
			t.Errorf("%q: %v, %v", wrong, d, err)
		}
	}
	if d := (&store.Device{}).String(); d != "cpu" {
		t.Errorf("the zero device is %s", d)
	}
}

func deviceOf(t *testing.T, s string) (d store.Device) {
	t.Helper()
	if err := d.Set(s); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDevices opens an index on every device, and compares the answers.
func TestDevices(t *testing.T) {
	ctx := context.Background()
	dir := sample(t)
	answers := func(o store.OpenOptions) (*store.Index, map[string][]string) {
		t.Helper()
		x, err := store.Open(ctx, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { x.Close() })
		out := map[string][]string{}
		for _, q := range []string{"usb c cable", "running shoes", "coffee"} {
			resp, err := x.Engine.Compare(ctx, engine.Request{Query: q})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range resp.Rankings {
				if r.Error != "" {
					t.Fatalf("%s: %s", r.System, r.Error)
				}
				for _, h := range r.Hits {
					out[q+" by "+r.System] = append(out[q+" by "+r.System], h.ID)
				}
			}
		}
		return x, out
	}
	t.Setenv("TRIRANK_FAISS_GPU", "")
	x, want := answers(store.OpenOptions{})
	if len(x.Placement) != 0 {
		t.Errorf("on the processor: %q", x.Placement)
	}
	same := func(got map[string][]string) {
		t.Helper()
		for q, ids := range want {
			if !slices.Equal(got[q], ids) {
				t.Errorf("%s: %v, on the processor %v", q, got[q], ids)
			}
		}
	}

	// A program that was not built for GPUs does not speak of them unless it is asked.
	x, got := answers(store.OpenOptions{Device: store.Auto})
	same(got)
	if len(x.Placement) != 0 {
		t.Errorf("auto without a library: %q", x.Placement)
	}
	if _, err := store.Open(ctx, dir, store.OpenOptions{Device: deviceOf(t, "gpu")}); err == nil || !strings.Contains(err.Error(), "make gpu builds it") || !strings.Contains(err.Error(), "--device auto") {
		t.Errorf("gpu without a library: %v", err)
	}

	fakegpu.Use(t, "../..")
	if fakegpu.Real() {
		x, got = answers(store.OpenOptions{Device: deviceOf(t, "gpu")})
		same(got)
		t.Logf("%q", x.Placement)
		return
	}
	t.Setenv("TRIRANK_ONNXRUNTIME_GPU", "")
	x, got = answers(store.OpenOptions{Device: store.Auto})
	same(got)
	if text := strings.Join(x.Placement, "\n"); !strings.Contains(text, "GPU 0 (Fake 0) does the vector searches of pretrained") || !strings.Contains(text, "the processor does the encoding of pretrained: ") || !strings.Contains(text, "run make gpu") {
		t.Errorf("auto: %s", text)
	}
	if d := x.Engine.Info().Systems[1].Detail; !strings.HasSuffix(d, ", searched on GPU 0 (Fake 0)") {
		t.Errorf("the ranking says %q", d)
	}
	if _, err := store.Open(ctx, dir, store.OpenOptions{Device: deviceOf(t, "gpu")}); err == nil || !strings.Contains(err.Error(), "cannot find ONNX Runtime") {
		t.Errorf("gpu without its ONNX Runtime: %v", err)
	}
	if _, err := store.Open(ctx, dir, store.OpenOptions{Device: deviceOf(t, "gpu:1")}); err == nil || !strings.Contains(err.Error(), "there is no GPU 1") {
		t.Errorf("gpu:1: %v", err)
	}
	t.Setenv("FAKE_GPUS", "0")
	x, got = answers(store.OpenOptions{Device: store.Auto})
	same(got)
	if len(x.Placement) != 1 || !strings.HasPrefix(x.Placement[0], "the processor does everything: ") || !strings.Contains(x.Placement[0], "finds no GPU") {
		t.Errorf("auto without a GPU: %q", x.Placement)
	}
	t.Setenv("FAKE_GPUS", "1")
	t.Setenv("FAKE_FREE", "1000000")
	x, got = answers(store.OpenOptions{Device: store.Auto})
	same(got)
	if text := strings.Join(x.Placement, "\n"); !strings.Contains(text, "the processor does the vector searches of pretrained: ") || !strings.Contains(text, "MB free") {
		t.Errorf("auto with a full GPU: %s", text)
	}
}

// TestInt8OnAuto checks that a model for which CUDA has no code stays on the processor.
func TestInt8OnAuto(t *testing.T) {
	if fakegpu.Real() {
		t.Skip("the models are not brought along")
	}
	fakegpu.Use(t, "../..")
	m, report, err := store.OpenModel(context.Background(), "e5-small-v2-int8", store.Auto)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Encoder.Close()
	if len(report) != 1 || !strings.Contains(report[0], "the model is of precision int8, which is slower on a GPU") {
		t.Errorf("%q", report)
	}
}

package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/train/bert"
)

// TestActivations checks that what was computed once gives the gradients that
// computing it each time gives.
func TestActivations(t *testing.T) {
	for _, what := range []string{"top:1", "adapter"} {
		c := tinyConfig()
		c.Train = what
		d := tinyData()
		b := d.batch(d.examples()[:4], &c, 0)
		var losses []float64
		var all [][]float32
		for _, cached := range []bool{false, true} {
			tr, err := NewTrainer(openDevice(t), tiny(), &c)
			if err != nil {
				t.Fatal(err)
			}
			tr.fit(&Job{Data: d})
			if cached {
				if err := tr.cacheActivations(t.Context(), filepath.Join(t.TempDir(), "a"), d.texts(), nil); err != nil {
					t.Fatal(err)
				}
				defer tr.activations.close()
			}
			loss, grads, err := tr.gradients(b)
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
			var flat []float32
			for _, g := range grads {
				flat = append(flat, tensors.MustCopyFlatData[float32](g)...)
			}
			all = append(all, flat)
		}
		if math.Abs(losses[0]-losses[1]) > 1e-5 {
			t.Errorf("%s: the loss is %g, from the file %g", what, losses[0], losses[1])
		}
		worst, most := 0., 0.
		for i, g := range all[0] {
			worst = max(worst, math.Abs(float64(g-all[1][i])))
			most = max(most, math.Abs(float64(g)))
		}
		if most == 0 || worst > 1e-5+1e-4*most {
			t.Errorf("%s: a gradient differs by %g, the greatest is %g", what, worst, most)
		}
	}
}

// TestActivationsFile checks that a file is used again only for the same texts and
// weights, and that a damaged one is replaced.
func TestActivationsFile(t *testing.T) {
	c := tinyConfig()
	c.Train = "top:1"
	d := tinyData()
	path := filepath.Join(t.TempDir(), "activations.bin")
	cache := func(weights []Weight, texts [][]int32) (computed bool) {
		t.Helper()
		tr, err := NewTrainer(openDevice(t), weights, &c)
		if err != nil {
			t.Fatal(err)
		}
		tr.fit(&Job{Data: d})
		if err := tr.cacheActivations(t.Context(), path, texts, func(int, int) { computed = true }); err != nil {
			t.Fatal(err)
		}
		tr.activations.close()
		return computed
	}
	if !cache(tiny(), d.texts()) || cache(tiny(), d.texts()) {
		t.Error("the file is not used again")
	}
	want, _ := os.ReadFile(path)
	if !cache(tiny(), d.texts()[1:]) {
		t.Error("the file of other texts is used")
	}
	other := tiny()
	other[0].Values[3]++
	if !cache(other, d.texts()) {
		t.Error("the file of other weights is used")
	}
	for name, damage := range map[string]func([]byte) []byte{
		"cut":   func(b []byte) []byte { return b[:len(b)-5] },
		"empty": func([]byte) []byte { return nil },
		"other": func(b []byte) []byte { b[len(activationsMagic)]++; return b },
	} {
		if err := os.WriteFile(path, damage(bytes.Clone(want)), 0o644); err != nil {
			t.Fatal(err)
		}
		if !cache(tiny(), d.texts()) {
			t.Errorf("a file that is damaged (%s) is used", name)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
			t.Errorf("%s: the file is not what it was", name)
		}
	}
	tr, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	tr.fit(&Job{Data: d})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	os.Remove(path)
	if err := tr.cacheActivations(ctx, path, d.texts(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("an interrupted file is there")
	}
	if err := tr.cacheActivations(t.Context(), path, d.texts(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Vectors(t.Context(), [][]int32{{7, 7, 7}}); err == nil || !strings.Contains(err.Error(), "has no activations") {
		t.Errorf("a text that is not in the file: %v", err)
	}
	tr.forgetActivations()
	if _, err := tr.Vectors(t.Context(), [][]int32{{7, 7, 7}}); err != nil {
		t.Error(err)
	}
}

// TestResumeFrozen interrupts runs whose lower layers are frozen.
func TestResumeFrozen(t *testing.T) {
	for _, what := range []string{"top:1", "adapter"} {
		b := openDevice(t)
		job := func(dir string) *Job {
			j := tinyJob(t, dir)
			j.Config.Train, j.Config.Epochs, j.Config.Micro = what, 2, 3
			return j
		}
		whole := job(filepath.Join(t.TempDir(), "whole"))
		want, err := Run(t.Context(), b, whole)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "parts")
		ctx, cancel := context.WithCancel(t.Context())
		j := job(dir)
		j.Report = func(s Status) {
			if s.Loss > 0 {
				cancel()
			}
		}
		if _, err := Run(ctx, b, j); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, activationsFile)); err != nil {
			t.Error("activations are not kept for the rest of the run")
		}
		j = job(dir)
		j.Resume = true
		got, err := Run(t.Context(), b, j)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, activationsFile)); err == nil {
			t.Error("activations are left behind")
		}
		a, _ := os.ReadFile(filepath.Join(whole.Dir, metricsFile))
		c, _ := os.ReadFile(filepath.Join(dir, metricsFile))
		if !bytes.Equal(a, c) {
			t.Errorf("%s: the records differ:\n%s\n%s", what, a, c)
		}
		if want.Best.NDCG != got.Best.NDCG {
			t.Errorf("%s: best is %g and %g", what, want.Best.NDCG, got.Best.NDCG)
		}
		if what == "adapter" && (len(got.Trained) != 1 || got.Trained[0].Name != bert.Adapter) {
			t.Errorf("the adapter trained %d weights", len(got.Trained))
		}
	}
}

package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// TestMergeIsTheTrainer checks that the weights that are saved make the vectors of
// the trainer that learnt them.
func TestMergeIsTheTrainer(t *testing.T) {
	for _, what := range []string{"lora:4", "top:1", "all", "adapter"} {
		c := tinyConfig()
		c.Train = what
		base := tiny()
		if what == "adapter" { // as the file of an adapted model has it
			base = append(base, newAdapter(base))
			c.EMA = .5 // what is averaged is what is saved
		}
		tr, err := NewTrainer(openDevice(t), base, &c)
		if err != nil {
			t.Fatal(err)
		}
		d := tinyData()
		tr.fit(&Job{Data: d})
		for i := range 3 {
			if _, err := tr.step(d.batch(d.examples()[:4], &c, i), i, 3); err != nil {
				t.Fatal(err)
			}
		}
		find := func(name string) ([]float32, []int, bool) {
			i := slices.IndexFunc(base, func(w Weight) bool { return w.Name == name })
			if i < 0 {
				return nil, nil, false
			}
			return base[i].Values, base[i].Dims, true
		}
		changed, err := Merge(find, tr.Trained(), c.LoRAAlpha, 0)
		if err != nil {
			t.Fatal(err)
		}
		sameVectors(t, what, tr, base, changed)
		// Half way back, and all the way.
		half, err := Merge(find, tr.Trained(), c.LoRAAlpha, .5)
		if err != nil {
			t.Fatal(err)
		}
		none, err := Merge(find, tr.Trained(), c.LoRAAlpha, 1)
		if err != nil {
			t.Fatal(err)
		}
		for name, full := range changed {
			old, _, _ := find(name)
			for i := range old {
				if want := (old[i] + full[i]) / 2; math.Abs(float64(half[name][i]-want)) > 1e-6 || math.Abs(float64(none[name][i]-old[i])) > 1e-6 {
					t.Fatalf("%s %s: blended to %g and %g from %g and %g", what, name, half[name][i], none[name][i], old[i], full[i])
				}
			}
		}
		if err := tr.Blend(.5); err != nil {
			t.Fatal(err)
		}
		sameVectors(t, what+", blended", tr, base, half)
	}
	if _, err := Merge(func(string) ([]float32, []int, bool) { return nil, nil, false }, []Weight{{Name: "x"}}, 1, 0); err == nil || !strings.Contains(err.Error(), "no weight") {
		t.Errorf("an unknown weight: %v", err)
	}
}

// sameVectors checks that a trainer and the merged weights make the same vectors.
func sameVectors(t *testing.T, what string, tr *Trainer, base []Weight, changed map[string][]float32) {
	t.Helper()
	merged := slices.Clone(base)
	for i := range merged {
		if v, ok := changed[merged[i].Name]; ok {
			merged[i].Values = v
		}
	}
	c := tinyConfig()
	c.Train = "top:1"
	other, err := NewTrainer(openDevice(t), merged, &c)
	if err != nil {
		t.Fatal(err)
	}
	tokens := [][]int32{{1, 2, 3}, {4, 5, 6, 7, 8, 9}}
	a, err1 := tr.Vectors(t.Context(), tokens)
	b, err2 := other.Vectors(t.Context(), tokens)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-5 {
			t.Fatalf("%s: value %d is %g in the trainer and %g when merged", what, i, a[i], b[i])
		}
	}
}

// TestLossGoesDown checks that each way of training learns what it is shown.
func TestLossGoesDown(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"infonce":    func(*Config) {},
		"listnet":    func(c *Config) { c.Objective = ListNet },
		"cosent":     func(c *Config) { c.CoSENT = 1 },
		"matryoshka": func(c *Config) { c.Matryoshka = []int{64} },
		"lora":       func(c *Config) { c.Train, c.Rate = "lora:4", 1e-2 },
		"top":        func(c *Config) { c.Train = "top:1" },
	} {
		c := tinyConfig()
		c.Schedule, c.Warmup = "constant", 0
		change(&c)
		tr, err := NewTrainer(openDevice(t), tiny(), &c)
		if err != nil {
			t.Fatal(err)
		}
		d := tinyData()
		tr.fit(&Job{Data: d})
		b := d.batch(d.examples()[:4], &c, 0)
		first, last := 0., 0.
		for i := range 5 {
			out, err := tr.step(b, i, 5)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = out.loss
			}
			last = out.loss
		}
		if !(last < first*.9) {
			t.Errorf("%s: the loss was %g and is %g", name, first, last)
		}
	}
}

// TestGradient compares gradients with differences of the loss.
func TestGradient(t *testing.T) {
	c := tinyConfig()
	c.CoSENT, c.SubstituteWeight = .3, .1
	_, grads, tr := gradientsOf(t, c)
	d := tinyData()
	tr.fit(&Job{Data: d})
	b := d.batch(order(d.examples(), c.Seed, 0)[:4], &c, 0)
	for _, name := range []string{"encoder.layer.1.output.dense.weight", "encoder.layer.0.attention.self.query.weight", "embeddings.LayerNorm.bias"} {
		at := slices.Index(tr.trained, name)
		// The steepest value: differences of 32-bit numbers are rough.
		i := 0
		for j, g := range grads[at] {
			if math.Abs(float64(g)) > math.Abs(float64(grads[at][i])) {
				i = j
			}
		}
		const h = 2e-3
		lossAt := func(change float32) float64 {
			values := tensors.MustCopyFlatData[float32](tr.values[at])
			values[i] += change
			keep := tr.values[at]
			tr.values[at] = tensors.FromFlatDataAndDimensions(values, keep.Shape().Dimensions...)
			loss, g, err := tr.gradients(b)
			free(g, tr.values[at:at+1])
			tr.values[at] = keep
			if err != nil {
				t.Fatal(err)
			}
			return loss
		}
		slope := (lossAt(h) - lossAt(-h)) / (2 * h)
		if got := float64(grads[at][i]); math.Abs(got-slope) > .03*math.Abs(slope)+1e-3 {
			t.Errorf("%s[%d]: gradient %g, the loss rises by %g", name, i, got, slope)
		}
	}
}

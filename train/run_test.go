package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

func tinyJob(t *testing.T, dir string) *Job {
	v, err := NewValidation(tinyData())
	if err != nil {
		t.Fatal(err)
	}
	c := tinyConfig()
	c.Epochs, c.Patience, c.EMA = 4, 0, .5
	return &Job{Config: c, Weights: tiny(), Data: tinyData(), Validation: v, Dir: dir, Inputs: map[string]string{"model": "tiny"}}
}

// TestResume interrupts a run again and again and compares with one that was left
// alone: the record and the weights are the same to the last bit.
func TestResume(t *testing.T) {
	b := openDevice(t)
	whole := tinyJob(t, filepath.Join(t.TempDir(), "whole"))
	want, err := Run(context.Background(), b, whole)
	if err != nil {
		t.Fatal(err)
	}
	if want.Best == nil || want.Start == nil || want.Best.NDCG <= want.Start.NDCG {
		t.Errorf("it learnt nothing: %+v, then %+v", want.Start, want.Best)
	}
	dir := filepath.Join(t.TempDir(), "parts")
	var got *Result
	for stops := 0; got == nil; stops++ {
		ctx, cancel := context.WithCancel(context.Background())
		j := tinyJob(t, dir)
		j.Resume = stops > 0
		taken := 0
		j.Report = func(s Status) {
			if s.Loss > 0 {
				if taken++; taken == 3 {
					cancel()
				}
			}
		}
		got, err = Run(ctx, b, j)
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if stops > 10 {
			t.Fatal("it does not come to an end")
		}
	}
	read := func(dir string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, metricsFile))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if a, b := read(whole.Dir), read(dir); !bytes.Equal(a, b) {
		t.Errorf("the records differ:\n%s\n%s", a, b)
	}
	for i := range want.Trained {
		if !slices.Equal(want.Trained[i].Values, got.Trained[i].Values) {
			t.Errorf("%s differs", want.Trained[i].Name)
		}
	}
	names, err := checkpoints(filepath.Join(dir, checkpointsDir))
	if err != nil || len(names) > keep+1 {
		t.Errorf("%d checkpoints are kept: %v, %v", len(names), names, err)
	}
}

// TestKilledRun goes on after a stop that wrote no checkpoint: from the last one.
func TestKilledRun(t *testing.T) {
	b := openDevice(t)
	whole := tinyJob(t, filepath.Join(t.TempDir(), "whole"))
	want, err := Run(context.Background(), b, whole)
	if err != nil {
		t.Fatal(err)
	}
	// The last checkpoint is gone, as if the process had ended before it was
	// written, and the record has lines from after it, the last cut off.
	names, _ := checkpoints(filepath.Join(whole.Dir, checkpointsDir))
	if err := os.RemoveAll(filepath.Join(whole.Dir, checkpointsDir, names[len(names)-1])); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(whole.Dir, metricsFile)
	before, _ := os.ReadFile(path)
	if err := os.WriteFile(path, before[:len(before)-7], 0o644); err != nil {
		t.Fatal(err)
	}
	again := tinyJob(t, whole.Dir)
	again.Resume = true
	got, err := Run(context.Background(), b, again)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Errorf("the record differs:\n%s\n%s", before, after)
	}
	if got.Best.NDCG != want.Best.NDCG {
		t.Errorf("best is %g, was %g", got.Best.NDCG, want.Best.NDCG)
	}
}

// TestNothingLearnt checks that a run that only does harm gives back what it began
// with.
func TestNothingLearnt(t *testing.T) {
	j := tinyJob(t, filepath.Join(t.TempDir(), "run"))
	// What the network ranks first is right: nothing can be better.
	c := tinyConfig()
	before, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	d := tinyData()
	var texts [][]int32
	for _, p := range d.Products {
		texts = append(texts, p.Tokens)
	}
	products, err := before.Vectors(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	dim := before.Dimension()
	for i := range d.Queries {
		q, err := before.Vectors(t.Context(), [][]int32{d.Queries[i].Tokens})
		if err != nil {
			t.Fatal(err)
		}
		best := 0
		for p := range d.Products {
			if dot(q, products[p*dim:(p+1)*dim]) > dot(q, products[best*dim:(best+1)*dim]) {
				best = p
			}
		}
		d.Queries[i].Judged = []Judged{{best, judgments.Exact}}
	}
	if j.Validation, err = NewValidation(d); err != nil {
		t.Fatal(err)
	}
	j.Config.Rate, j.Config.EMA, j.Config.Epochs, j.Config.Patience, j.Config.Schedule, j.Config.Warmup = .3, 0, 6, 2, "constant", 0
	r, err := Run(context.Background(), openDevice(t), j)
	if err != nil {
		t.Fatal(err)
	}
	if r.Best.Step != 0 || !r.Stopped {
		t.Fatalf("best is %+v, stopped: %v", r.Best, r.Stopped)
	}
	base := tiny()
	for _, w := range r.Trained {
		i := slices.IndexFunc(base, func(b Weight) bool { return b.Name == w.Name })
		if !slices.Equal(base[i].Values, w.Values) {
			t.Fatalf("%s is not what it was", w.Name)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	b := openDevice(t)
	dir := filepath.Join(t.TempDir(), "run")
	first := tinyJob(t, dir)
	first.Config.Epochs = 1
	if _, err := Run(context.Background(), b, first); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(j *Job){
		"there is a run already":   func(j *Job) { j.Config.Epochs = 1 },
		"begun with other options": func(j *Job) { j.Resume, j.Config.Epochs = true, 2 },
		"temperature":              func(j *Job) { j.Config.Temperature = 0 },
		"what is trained":          func(j *Job) { j.Config.Train = "some" },
		"is not a BERT":            func(j *Job) { j.Weights = j.Weights[1:] },
		"nothing to learn from":    func(j *Job) { j.Data = &Data{Products: tinyData().Products} },
		"has no tokens":            func(j *Job) { j.Data.Products[3].Tokens = nil },
		"layers":                   func(j *Job) { j.Dir, j.Config.Train = filepath.Join(t.TempDir(), "x"), "top:3" },
	} {
		j := tinyJob(t, dir)
		change(j)
		if _, err := Run(context.Background(), b, j); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestExplosion checks that a step without a finite loss changes nothing.
func TestExplosion(t *testing.T) {
	c := tinyConfig()
	tr, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	d := tinyData()
	tr.fit(&Job{Data: d})
	before := tr.Trained()
	b := d.batch(d.examples()[:4], &c, 0)
	b.target[0] = float32(math.NaN())
	if _, err := tr.step(b, 0, 10); !errors.Is(err, ErrExploded) {
		t.Errorf("%v", err)
	}
	for i, w := range tr.Trained() {
		if !slices.Equal(w.Values, before[i].Values) {
			t.Errorf("%s was changed", w.Name)
		}
	}
	broken := tiny()
	broken[0].Values[400] = float32(math.Inf(1))
	if _, err := NewTrainer(openDevice(t), broken, &c); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("weights that are not finite: %v", err)
	}
}

func TestRates(t *testing.T) {
	c := DefaultConfig()
	c.Rate, c.Warmup = 1, .1
	for schedule, want := range map[string][]float64{"cosine": {.1, 1, 1, .5, 0}, "linear": {.1, 1, 1, .5, 0}, "constant": {.1, 1, 1, 1, 1}} {
		c.Schedule = schedule
		for i, step := range []int{0, 9, 10, 55, 100} {
			if got := c.rate(step, 100); math.Abs(got-want[i]) > 1e-12 {
				t.Errorf("%s: rate of step %d is %g, want %g", schedule, step, got, want[i])
			}
		}
	}
}

package train

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/gomlx/compute"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/procfile"
)

// Cost is what a run needs.
type Cost struct {
	Trained        int     `json:"trained"`    // numbers that change
	Parameters     int     `json:"parameters"` // all numbers
	CompileSeconds float64 `json:"compile_seconds"`
	StepSeconds    float64 `json:"step_seconds"`
	PeakGB         float64 `json:"peak_gb,omitempty"` // of the whole process
	// CacheGB is what the activations of frozen layers take on disk.
	CacheGB float64 `json:"cache_gb,omitempty"`
	// FrozenSeconds is what it takes to compute them.
	FrozenSeconds float64 `json:"frozen_seconds,omitempty"`
	Steps         int     `json:"steps"`
	// Seconds is all of it, validations not counted.
	Seconds float64 `json:"seconds"`
}

// Measure takes a few steps of a job and forgets them.
func Measure(ctx context.Context, backend compute.Backend, j *Job) (*Cost, error) {
	if err := j.Data.check(&j.Config); err != nil {
		return nil, err
	}
	t, err := NewTrainer(backend, j.Weights, &j.Config)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	t.fit(j)
	out := &Cost{}
	out.Trained, out.Parameters = t.Parameters()
	examples := order(j.Data.learnt(&j.Config), j.Config.Seed, 0)
	b := j.Data.batch(examples[:min(len(examples), j.Config.Batch)], &j.Config, 0)
	if t.below() > 0 {
		dir, remove, err := atomicfile.TempDir(os.TempDir(), "trirank-train")
		if err != nil {
			return nil, err
		}
		defer remove()
		path := filepath.Join(dir, activationsFile)
		if err := t.cacheActivations(ctx, path, b.texts[:1], nil); err != nil { // compiles
			return nil, err
		}
		t.forgetActivations()
		t.fit(j)
		start := time.Now()
		if err := t.cacheActivations(ctx, path, b.texts, nil); err != nil {
			return nil, err
		}
		took := time.Since(start).Seconds()
		texts := j.Texts
		if j.Activations == "" {
			texts = j.texts()
		}
		out.CacheGB = t.activationsGB(texts)
		out.FrozenSeconds = took * out.CacheGB / t.activationsGB(b.texts)
	}
	// The first compiles, and what the second takes has not found its place yet.
	const steps, untimed = 4, 2
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := time.Now()
		if _, err := t.step(b, i, steps); err != nil {
			return nil, err
		}
		if took := time.Since(start).Seconds(); i == 0 {
			out.CompileSeconds = took
		} else if i >= untimed {
			out.StepSeconds += took / (steps - untimed)
		}
	}
	out.CompileSeconds = max(0, out.CompileSeconds-out.StepSeconds)
	out.Steps, _ = j.Steps()
	out.Seconds = out.FrozenSeconds + out.CompileSeconds + float64(out.Steps)*out.StepSeconds
	out.PeakGB = peakGB()
	return out, nil
}

// activationsGB is how large the file of activations of texts is.
func (t *Trainer) activationsGB(texts [][]int32) float64 {
	tokens := 0
	seen := map[textKey]bool{}
	for _, x := range texts {
		if key := keyOf(x); !seen[key] && len(x) > 0 {
			seen[key] = true
			tokens += min(len(x), t.width)
		}
	}
	return float64(tokens) * float64(4*t.net.Hidden) / 1e9
}

// peakGB is the most memory that the process has held; 0 where that is not told.
func peakGB() float64 { return procfile.Kilobytes("/proc/self/status", "VmHWM") / 1e6 }

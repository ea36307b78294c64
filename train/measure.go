package train

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute"
)

// Cost is what a run needs.
type Cost struct {
	Trained        int     `json:"trained"`    // numbers that change
	Parameters     int     `json:"parameters"` // all numbers
	CompileSeconds float64 `json:"compile_seconds"`
	StepSeconds    float64 `json:"step_seconds"`
	PeakGB         float64 `json:"peak_gb"` // of the whole process
}

// Measure takes three steps of a job and forgets them.
func Measure(ctx context.Context, backend compute.Backend, j *Job) (*Cost, error) {
	if err := j.Data.check(); err != nil {
		return nil, err
	}
	t, err := NewTrainer(backend, j.Weights, &j.Config)
	if err != nil {
		return nil, err
	}
	out := &Cost{}
	out.Trained, out.Parameters = t.Parameters()
	examples := j.Data.examples()
	q, p := j.Data.widths(j.Config.MaxTokens)
	const steps = 3
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		some := examples[:min(len(examples), j.Config.Batch)]
		b := j.Data.batch(some, &j.Config, i, q, p)
		start := time.Now()
		if _, err := t.step(b, len(some), i, steps); err != nil {
			return nil, err
		}
		if took := time.Since(start).Seconds(); i == 0 {
			out.CompileSeconds = took
		} else {
			out.StepSeconds += took / (steps - 1)
		}
	}
	out.CompileSeconds = max(0, out.CompileSeconds-out.StepSeconds)
	out.PeakGB = peakGB()
	return out, nil
}

// peakGB is the most memory that the process has held; 0 where that is not told.
func peakGB() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb / 1e6
		}
	}
	return 0
}

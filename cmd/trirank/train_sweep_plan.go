package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/trirank/trirank/train"
)

// sweepPlan is what a sweep trains, in its order, and how long what is done took.
type sweepPlan struct{ runs []sweepRun }

type sweepRun struct {
	fold    int
	setting string // without its blend
	steps   int
	done    bool
	seconds float64 // of training; 0 where that was not timed
}

func (p *sweepPlan) add(r sweepRun) {
	if p.find(r.fold, r.setting) == nil {
		p.runs = append(p.runs, r)
	}
}

func (p *sweepPlan) find(fold int, setting string) *sweepRun {
	for i := range p.runs {
		if r := &p.runs[i]; r.fold == fold && r.setting == setting {
			return r
		}
	}
	return nil
}

// finish notes that a run is done, and how long it took.
func (p *sweepPlan) finish(fold int, setting string, seconds float64) {
	if r := p.find(fold, setting); !r.done {
		r.done, r.seconds = true, seconds
	}
}

// giveUp leaves out what is still to do for a setting, and counts it as over.
func (p *sweepPlan) giveUp(setting string) {
	for i := range p.runs {
		if p.runs[i].setting == setting {
			p.runs[i].done = true
		}
	}
}

// took is how long all runs of a setting took; 0 where one of them was not timed.
func (p *sweepPlan) took(setting string) (seconds float64) {
	for _, r := range p.runs {
		if r.setting != setting {
			continue
		}
		if r.seconds == 0 {
			return 0
		}
		seconds += r.seconds
	}
	return seconds
}

// String says how far the sweep is: what is left takes per step what its setting took
// so far or, where that is not known, what the others took.
func (p *sweepPlan) String() string {
	type spent struct {
		seconds float64
		steps   int
	}
	var all spent
	by := map[string]spent{}
	done := 0
	for _, r := range p.runs {
		if r.done {
			done++
		}
		if r.seconds > 0 {
			s := by[r.setting]
			by[r.setting] = spent{s.seconds + r.seconds, s.steps + r.steps}
			all = spent{all.seconds + r.seconds, all.steps + r.steps}
		}
	}
	out := fmt.Sprintf("%d of %d runs are over", done, len(p.runs))
	if done == len(p.runs) || all.steps == 0 {
		return out
	}
	left := 0.
	for _, r := range p.runs {
		if r.done {
			continue
		}
		s := by[r.setting]
		if s.steps == 0 {
			s = all
		}
		left += float64(r.steps) * s.seconds / float64(s.steps)
	}
	return fmt.Sprintf("%s, %s left for the others", out, duration(left))
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * 1e9).Round(time.Second) }

// sweepCost is what a sweep would need.
type sweepCost struct {
	Folds    int           `json:"folds"`
	Runs     int           `json:"runs"`
	Steps    int           `json:"steps"`
	Seconds  float64       `json:"seconds"` // of training
	PeakGB   float64       `json:"peak_gb"` // of memory
	CacheGB  float64       `json:"cache_gb,omitempty"`
	Settings []settingCost `json:"settings"`
}

// settingCost is what a setting would need, in all folds.
type settingCost struct {
	Setting string      `json:"setting"`
	Steps   int         `json:"steps"`
	Seconds float64     `json:"seconds"`
	Run     *train.Cost `json:"run,omitempty"` // in the first fold; its memory is only known of all
	Failed  string      `json:"failed,omitempty"`
}

// measureAll tells what the sweep would cost, from a few steps of each setting.
func (s *sweeping) measureAll(ctx context.Context) error {
	out := sweepCost{Folds: len(s.parts), Runs: len(s.plan.runs)}
	cached := map[string]bool{}
	measured := map[string]bool{}
	for _, setting := range s.settings {
		rest := setting.run()
		if measured[rest] {
			continue
		}
		measured[rest] = true
		fmt.Fprintf(s.c.ErrOrStderr(), "a few steps of %s\n", rest)
		job, err := s.jobOf(s.parts[0], setting)
		if err != nil {
			return err
		}
		cost, err := train.Measure(ctx, s.backend, job)
		if errors.Is(err, train.ErrExploded) { // the others are of interest nevertheless
			out.Settings = append(out.Settings, settingCost{Setting: rest, Failed: err.Error()})
			continue
		}
		if err != nil {
			return err
		}
		out.PeakGB, cost.PeakGB = max(out.PeakGB, cost.PeakGB), 0
		c := settingCost{Setting: rest, Run: cost}
		for _, r := range s.plan.runs {
			if r.setting == rest {
				c.Steps += r.steps
				c.Seconds += cost.CompileSeconds + float64(r.steps)*cost.StepSeconds
			}
		}
		// The folds, and all settings that freeze the same layers, share one file.
		if !cached[job.Activations] {
			cached[job.Activations] = true
			c.Seconds += cost.FrozenSeconds
			out.CacheGB += cost.CacheGB
		}
		out.Settings = append(out.Settings, c)
		out.Steps, out.Seconds = out.Steps+c.Steps, out.Seconds+c.Seconds
	}
	if s.asJSON {
		return writeJSON(s.c.OutOrStdout(), out)
	}
	w := s.c.OutOrStdout()
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "setting\tsteps\ta step\tin all")
	for _, c := range out.Settings {
		if c.Failed != "" {
			fmt.Fprintf(tw, "%s\tfailed: %s\n", c.Setting, c.Failed)
			continue
		}
		fmt.Fprintf(tw, "%s\t%d\t%.2f s\t%s\n", c.Setting, c.Steps, c.Run.StepSeconds, duration(c.Seconds))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s of %s in all: %s; validations and the ranking of folds not counted\n", plural(out.Runs, "run"), plural(out.Steps, "step"), duration(out.Seconds))
	printSpace(w, out.PeakGB, out.CacheGB)
	return nil
}

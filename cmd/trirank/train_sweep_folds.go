package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/judgments"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/sweep"
)

// foldPart is a fold.
type foldPart struct {
	learn  []string          // queries
	ranked *train.Validation // those of the fold; nil if there are none
}

// divide makes the folds and checks that each can be learnt from and measured,
// before hours go into the first.
func (s *sweeping) divide() error {
	known, err := trainingOf(s.model.Dir, s.model.Encoder.Model)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	if known != nil {
		for _, q := range known.Queries {
			seen[judgments.Fold(q)] = true
		}
	}
	left := 0
	for fold := range s.folds {
		var p foldPart
		var test []string
		for _, q := range s.data.queries {
			switch {
			case sweep.Fold(q, s.folds) != fold:
				p.learn = append(p.learn, q)
			case seen[judgments.Fold(q)]:
				left++
			default:
				test = append(test, q)
			}
		}
		if len(test) == 0 {
			continue
		}
		data, err := s.data.cut(test, false, true)
		if err == nil {
			p.ranked, err = train.NewValidation(data)
		}
		for i := 0; err == nil && i < len(s.settings); i++ {
			var job *train.Job
			if job, err = s.jobOf(p, s.settings[i]); err == nil {
				err = job.Check()
			}
			if err == nil {
				steps, _ := job.Steps()
				s.plan.add(sweepRun{fold: len(s.parts), setting: s.settings[i].run(), steps: steps})
			}
		}
		if err != nil {
			return fmt.Errorf("cannot measure fold %d of %d: %w (take fewer folds)", fold+1, s.folds, err)
		}
		s.parts = append(s.parts, p)
	}
	if left > 0 {
		fmt.Fprintf(s.c.ErrOrStderr(), "%s in no fold: model %s has learnt from them\n", plural(left, "query"), s.model.Encoder.Model.Name)
	}
	if len(s.parts) < 2 {
		return fmt.Errorf("cannot sweep: %d queries that the model has not learnt from fill %d of %d folds", len(s.data.queries)-left, len(s.parts), s.folds)
	}
	return nil
}

// jobOf is the run of a setting without a fold, but for its folder.
func (s *sweeping) jobOf(p foldPart, setting oneSetting) (*train.Job, error) {
	job := &train.Job{
		Config: setting.config, Weights: s.job.Weights, Resume: true, Inputs: s.job.Inputs,
		Activations: filepath.Join(s.target, activationsPrefix+strings.ReplaceAll(setting.config.Train, ":", "-")+".bin"), Texts: s.texts,
	}
	learn, held := s.data.part(p.learn, s.validation)
	if len(held) > mostValidation {
		held = held[:mostValidation]
	}
	var err error
	if job.Data, err = s.data.cut(learn, true, false); err != nil {
		return nil, err
	}
	job.Validation, err = s.data.validation(held, s.validation)
	return job, err
}

func foldName(fold int) string { return fmt.Sprintf("fold-%d", fold+1) }

// foldValues is values.json: what a fold's queries are worth.
type foldValues struct {
	sweep.Values
	Seconds float64 `json:"seconds"` // of training
}

// fold trains and measures all settings for one fold.
func (s *sweeping) fold(ctx context.Context, fold int, baseline *sweep.Values, measured []sweep.Measured) error {
	p, name := s.parts[fold], foldName(fold)
	before, err := s.remember(filepath.Join(s.target, "before", name), func() (*foldValues, error) { return s.measureBefore(ctx, p.ranked) })
	if err != nil {
		return err
	}
	baseline.Add(before.Values)
	for i, setting := range s.settings {
		m := &measured[i]
		if m.Failed != "" {
			continue
		}
		run, dir := setting.run(), filepath.Join(s.target, setting.folder(), name)
		trained := false
		values, err := s.remember(filepath.Join(dir, blendName(setting.blend)), func() (*foldValues, error) {
			fmt.Fprintf(s.c.ErrOrStderr(), "fold %d of %d, setting %d of %d: %s\n", fold+1, len(s.parts), i+1, len(s.settings), run)
			trained = true
			return nil, s.trainFold(ctx, p, setting, dir)
		})
		if errors.Is(err, train.ErrExploded) { // no reason to give the others up
			fmt.Fprintf(s.c.ErrOrStderr(), "%s: %v\n", run, err)
			for j, other := range s.settings {
				if other.run() == run {
					measured[j].Failed = fmt.Sprintf("the loss exploded in fold %d", fold+1)
				}
			}
			s.plan.giveUp(run)
			fmt.Fprintln(s.c.ErrOrStderr(), &s.plan)
			continue
		}
		if err != nil {
			return err
		}
		s.plan.finish(fold, run, values.Seconds)
		if trained {
			fmt.Fprintln(s.c.ErrOrStderr(), &s.plan)
		}
		m.Values.Add(values.Values)
	}
	return nil
}

func blendName(blend float64) string { return "blend-" + strconv.FormatFloat(blend, 'g', -1, 64) }

// folder is the name of the folder of what is trained for a setting.
func (x oneSetting) folder() string {
	rest, _ := x.Without(blendAxis)
	if len(rest) == 0 {
		return "runs"
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\: `, r) {
			return '_'
		}
		return r
	}, rest.String())
	const most = 200 // file systems end at 255
	if len(name) > most {
		name = fmt.Sprintf("%s-%x", name[:most], sha256.Sum256([]byte(name)))[:most+9]
	}
	return name
}

// remember returns the values in dir, made and written there if they are not. make
// may write them itself and return nil.
func (s *sweeping) remember(dir string, make func() (*foldValues, error)) (*foldValues, error) {
	path := filepath.Join(dir, valuesFile)
	for round := range 2 {
		v, err := readValues(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || round > 0 {
			return v, err
		}
		v, err = make()
		if err != nil {
			return nil, err
		}
		if v != nil {
			if err := writeValues(dir, v); err != nil {
				return nil, err
			}
		}
	}
	panic("unreachable")
}

// readValues reads what writeValues wrote.
func readValues(path string) (*foldValues, error) {
	v := &foldValues{}
	err := readChecked(path, v)
	if err == nil {
		err = v.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w (remove it, and the sweep makes it again)", err)
	}
	return v, nil
}

func writeValues(dir string, v *foldValues) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return checksum.WriteJSON(filepath.Join(dir, valuesFile), v)
}

// measureBefore ranks a fold by the model to begin with.
func (s *sweeping) measureBefore(ctx context.Context, ranked *train.Validation) (*foldValues, error) {
	c := s.config
	c.Train, c.EMA = "lora:1", 0 // little memory; LoRA changes nothing at first
	t, err := train.NewTrainer(s.backend, s.job.Weights, &c)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return measureFold(ctx, ranked, t, 0)
}

func measureFold(ctx context.Context, ranked *train.Validation, t *train.Trainer, blend float64) (*foldValues, error) {
	values, err := ranked.Measure(ctx, t, blend)
	if err != nil {
		return nil, err
	}
	out := &foldValues{}
	out.Queries = ranked.Queries()
	for i := range values.NDCG {
		out.NDCG, out.Recall = append(out.NDCG, eval.Number(values.NDCG[i])), append(out.Recall, eval.Number(values.Recall[i]))
	}
	return out, nil
}

// trainFold trains a setting without a fold, measures the fold with all blends that
// are asked for, and removes the checkpoints, which are large.
func (s *sweeping) trainFold(ctx context.Context, p foldPart, setting oneSetting, dir string) error {
	job, err := s.jobOf(p, setting)
	if err != nil {
		return err
	}
	job.Dir = dir
	_, err = os.Stat(filepath.Join(dir, "config.json"))
	resumed := err == nil
	begun := time.Now()
	result, err := s.train(ctx, job)
	if err != nil {
		return err
	}
	defer result.Trainer.Close()
	seconds := max(.1, math.Round(time.Since(begun).Seconds()*10)/10)
	if resumed {
		seconds = 0 // not known: some of it was done before
	}
	for _, other := range s.settings {
		if other.run() != setting.run() {
			continue
		}
		values, err := measureFold(ctx, p.ranked, result.Trainer, other.blend)
		if err != nil {
			return err
		}
		values.Seconds = seconds
		if err := writeValues(filepath.Join(dir, blendName(other.blend)), values); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(dir, "checkpoints"))
}

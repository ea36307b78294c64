package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/filelock"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/sweep"
)

func newTrainSweepCommand() *cobra.Command {
	o := trainFlags{config: train.DefaultConfig()}
	var axes []string
	var folds int
	c := &cobra.Command{
		Use:   "sweep --catalog CATALOGUE --grid NAME=VALUES --out SWEEP_DIR",
		Short: "Compare settings of training by folds of the queries",
		Long: `Sweep trains every setting of a grid once for each fold of the queries, on the
queries of the other folds, and ranks the queries of the fold by the result: each
query is judged by models that never saw it. The table compares each setting with
the model to begin with, query by query, so that nobody needs to pick a setting by
its figures on test queries.

--grid names a flag of trirank train, or blend, and its values; several make all
combinations. Without any, what the other flags say is measured by itself. Settings
that differ in blend alone are trained once. Values that are lists are parted by
semicolons: --grid 'lora-targets=query,value;query,key,value'.

A run within a fold is one that trirank train would make: a share of its queries
(--validation) chooses the best checkpoint; with --validation 0 the last is taken.
A fold's queries are ranked among all that is judged for them and some 2,000 other
products. Queries that the model to begin with has learnt from are in no fold.

SWEEP_DIR holds sweep.json, sweep.csv, the values of every query, and the record of
every run. A sweep that was interrupted goes on with --resume.`,
		Example: `  trirank train sweep --catalog sample --grid learning-rate=1e-4,2e-4 --grid blend=0,.3 --out sweeps/a
  trirank train sweep --catalog shop --split all --folds 5 --train all --learning-rate 2e-5 --out sweeps/b`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	o.inputs(f)
	f.StringVar(&o.out, "out", "", "folder of the sweep")
	f.StringArrayVar(&axes, "grid", nil, "what is varied: a flag of training, or blend, and its values, such as temperature=.02,.05")
	f.IntVar(&folds, "folds", 5, "parts of the queries")
	configFlags(f, &o.config)
	f.BoolVar(&o.resume, "resume", false, "go on with the sweep in SWEEP_DIR")
	f.BoolVar(&o.asJSON, "json", false, "print the table as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "out"); err != nil {
			return err
		}
		if folds < 2 || folds > 100 {
			return usageError("--folds is within 2..100")
		}
		given := o.config
		if err := o.check(c); err != nil {
			return err
		}
		settings, err := o.readSettings(axes, &given, c.Flags().Changed("teacher-weight"))
		if err != nil {
			return usageError("--grid: %v", err)
		}
		s := &sweeping{training: training{trainFlags: &o, c: c, folds: folds}, settings: settings}
		defer s.close()
		return s.run(c.Context())
	}
	return c
}

// oneSetting is a setting with what it means.
type oneSetting struct {
	sweep.Setting
	config train.Config
	blend  float64
}

const blendAxis = "blend"

// readSettings makes the configurations of a grid. weighted says that the weight of
// the teacher was given for all.
func (f *trainFlags) readSettings(axes []string, base *train.Config, weighted bool) (out []oneSetting, err error) {
	grid, err := sweep.Grid(axes)
	if err != nil {
		return nil, err
	}
	for _, setting := range grid {
		s := oneSetting{Setting: setting, config: *base}
		s.config.LoRATargets, s.config.Matryoshka = slices.Clone(base.LoRATargets), slices.Clone(base.Matryoshka)
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		configFlags(flags, &s.config)
		for _, o := range setting {
			if o.Name == blendAxis {
				if s.blend, err = strconv.ParseFloat(o.Value, 64); err != nil || !(s.blend >= 0 && s.blend <= 1) {
					return nil, fmt.Errorf("blend=%s is not within 0..1", o.Value)
				}
				continue
			}
			if o.Name == "max-tokens" {
				return nil, errors.New("max-tokens cannot be varied: all settings share the texts (sweep once for each)")
			}
			if flags.Lookup(o.Name) == nil {
				return nil, fmt.Errorf("there is no flag --%s of training (see trirank train --help)", o.Name)
			}
			if err := flags.Set(o.Name, o.Value); err != nil {
				return nil, err
			}
		}
		if err := f.complete(&s.config, weighted || flags.Changed("teacher-weight")); err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// sweeping is a run of trirank train sweep between its steps.
type sweeping struct {
	training
	settings []oneSetting
	texts    [][]int32 // of all folds
	parts    []foldPart
}

// foldPart is a fold.
type foldPart struct {
	learn  []string          // queries
	ranked *train.Validation // those of the fold; nil if there are none
}

// Files of a sweep; runs have folders of their own.
const (
	sweepConfigFile = "config.json"
	sweepFile       = "sweep.json"
	sweepCSVFile    = "sweep.csv"
	valuesFile      = "values.json"

	// What frozen layers make of the texts, the same for all folds.
	activationsPrefix = "activations-"
)

func (s *sweeping) run(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.divide(); err != nil {
		return err
	}
	unlock, err := s.open()
	if err != nil {
		return fmt.Errorf("cannot sweep in %s: %w", s.out, err)
	}
	defer unlock()
	if err := s.compareWithRuntime(ctx, s.model, nil, "the model to begin with"); err != nil {
		return err
	}
	for _, p := range s.data.products {
		s.texts = append(s.texts, p.Tokens)
	}
	for _, q := range s.data.queries {
		ids, err := s.tokens(q, true)
		if err != nil {
			return err
		}
		s.texts = append(s.texts, ids)
	}
	var baseline sweep.Values
	measured := make([]sweep.Measured, len(s.settings))
	for i := range measured {
		measured[i].Setting = s.settings[i].Setting
	}
	untimed := make([]bool, len(measured)) // runs that were resumed
	for fold := range s.parts {
		if err := s.fold(ctx, fold, &baseline, measured, untimed); err != nil {
			return err
		}
	}
	for i := range measured {
		if untimed[i] {
			measured[i].Seconds = 0
		}
	}
	if err := s.clean(); err != nil {
		return err
	}
	table, err := sweep.Compare(baseline, measured, s.folds, s.config.Seed)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(table, "", "  ")
	if err != nil {
		return err
	}
	var list bytes.Buffer
	err = errors.Join(table.WriteCSV(&list),
		atomicfile.WriteBytes(filepath.Join(s.out, sweepFile), append(b, '\n')), atomicfile.WriteBytes(filepath.Join(s.out, sweepCSVFile), list.Bytes()))
	if err != nil {
		return err
	}
	if s.asJSON {
		return writeJSON(s.c.OutOrStdout(), table)
	}
	return table.WriteText(s.c.OutOrStdout())
}

// divide makes the folds and checks that each can be learnt from and measured,
// before hours go into the first.
func (s *sweeping) divide() error {
	known, err := parentRecord(s.model.Dir)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, q := range known.Queries {
		seen[eval.Fold(q)] = true
	}
	left := 0
	for fold := range s.folds {
		var p foldPart
		var test []string
		for _, q := range s.data.queries {
			switch {
			case sweep.Fold(q, s.folds) != fold:
				p.learn = append(p.learn, q)
			case seen[eval.Fold(q)]:
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
		}
		if err != nil {
			return fmt.Errorf("cannot measure fold %d of %d: %w (take fewer folds)", fold+1, s.folds, err)
		}
		s.parts = append(s.parts, p)
	}
	if left > 0 {
		fmt.Fprintf(s.c.ErrOrStderr(), "%d queries are in no fold: model %s has learnt from them\n", left, s.model.Encoder.Model.Name)
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
		Activations: filepath.Join(s.out, activationsPrefix+strings.ReplaceAll(setting.config.Train, ":", "-")+".bin"), Texts: s.texts,
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

// clean removes what is large and only needed for training.
func (s *sweeping) clean() error {
	entries, err := os.ReadDir(s.out)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), activationsPrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(s.out, e.Name())))
		}
	}
	for _, x := range s.settings {
		rest, _ := x.Without(blendAxis)
		for fold := range s.parts {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.out, folderOf(rest), foldName(fold), "checkpoints")))
		}
	}
	return err
}

func foldName(fold int) string { return fmt.Sprintf("fold-%d", fold+1) }

// open begins the folder of the sweep, or finds it to be of the same.
func (s *sweeping) open() (unlock func(), err error) {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return nil, err
	}
	release, err := filelock.Take(filepath.Join(s.out, ".lock"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	var grid []sweep.Setting
	for _, x := range s.settings {
		grid = append(grid, x.Setting)
	}
	want, err := json.MarshalIndent(struct {
		Folds    int               `json:"folds"`
		Settings []sweep.Setting   `json:"settings"`
		Config   train.Config      `json:"config"` // where settings say nothing else
		Inputs   map[string]string `json:"inputs"`
	}{s.folds, grid, s.config, s.job.Inputs}, "", "  ")
	if err != nil {
		return nil, err
	}
	want = append(want, '\n')
	path := filepath.Join(s.out, sweepConfigFile)
	got, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		entries, err := os.ReadDir(s.out)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Name() != ".lock" {
				return nil, fmt.Errorf("it holds %s and is not the folder of a sweep (name another)", e.Name())
			}
		}
		return release, atomicfile.WriteBytes(path, want)
	case err != nil:
		return nil, err
	case !s.resume:
		return nil, errors.New("there is a sweep already (go on with it by --resume, or name another folder)")
	case !bytes.Equal(got, want):
		return nil, fmt.Errorf("the sweep was begun with other options, another model or another catalogue (see %s)", path)
	}
	return release, nil
}

// foldValues is values.json: what a fold's queries are worth.
type foldValues struct {
	sweep.Values
	Seconds float64 `json:"seconds"` // of training
}

// fold trains and measures all settings for one fold.
func (s *sweeping) fold(ctx context.Context, fold int, baseline *sweep.Values, measured []sweep.Measured, untimed []bool) error {
	p, name := s.parts[fold], foldName(fold)
	before, err := s.remember(filepath.Join(s.out, "before", name), func() (*foldValues, error) { return s.measureBefore(ctx, p.ranked) })
	if err != nil {
		return err
	}
	baseline.Add(before.Values)
	for i, setting := range s.settings {
		m := &measured[i]
		if m.Failed != "" {
			continue
		}
		rest, _ := setting.Without(blendAxis)
		label := folderOf(rest)
		values, err := s.remember(filepath.Join(s.out, label, name, blendName(setting.blend)), func() (*foldValues, error) {
			fmt.Fprintf(s.c.ErrOrStderr(), "fold %d of %d, setting %d of %d: %s\n", fold+1, len(s.parts), i+1, len(s.settings), rest)
			return nil, s.trainFold(ctx, p, setting, filepath.Join(s.out, label, name))
		})
		if errors.Is(err, train.ErrExploded) { // no reason to give the others up
			fmt.Fprintf(s.c.ErrOrStderr(), "%s: %v\n", setting.Setting, err)
			m.Failed = fmt.Sprintf("the loss exploded in fold %d", fold+1)
			continue
		}
		if err != nil {
			return err
		}
		m.Values.Add(values.Values)
		if m.Seconds += values.Seconds; values.Seconds == 0 {
			untimed[i] = true
		}
	}
	return nil
}

func blendName(blend float64) string { return "blend-" + strconv.FormatFloat(blend, 'g', -1, 64) }

// folderOf is the name of the folder of a setting.
func folderOf(s sweep.Setting) string {
	if len(s) == 0 {
		return "runs"
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\: `, r) {
			return '_'
		}
		return r
	}, s.String())
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
		b, err := os.ReadFile(path)
		if err == nil {
			v := &foldValues{}
			if err := cmp.Or(json.Unmarshal(b, v), v.Check()); err != nil {
				return nil, fmt.Errorf("%s is damaged: %w (remove it, and the sweep makes it again)", path, err)
			}
			return v, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || round > 0 {
			return nil, err
		}
		v, err := make()
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

func writeValues(dir string, v *foldValues) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, valuesFile), append(b, '\n'))
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
	rest, _ := setting.Without(blendAxis)
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
	seconds := math.Round(time.Since(begun).Seconds()*10) / 10
	if resumed {
		seconds = 0 // of all but what was done before
	}
	for _, other := range s.settings {
		if r, _ := other.Without(blendAxis); r.String() != rest.String() {
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

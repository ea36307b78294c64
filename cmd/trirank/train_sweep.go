package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/filelock"
	"github.com/trirank/trirank/internal/regular"
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
  trirank train sweep --catalog shop --split all --folds 5 --train all --learning-rate 2e-5 --out sweeps/b
  trirank train sweep --catalog shop --grid 'train=all,top:4,lora:8' --out sweeps/c --dry-run`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	o.inputs(f)
	f.StringVar(&o.out, "out", "", "folder of the sweep")
	f.StringArrayVar(&axes, "grid", nil, "what is varied: a flag of training, or blend, and its values, such as temperature=.02,.05")
	f.IntVar(&folds, "folds", 5, "parts of the queries")
	configFlags(f, &o.config)
	f.BoolVar(&o.resume, "resume", false, "go on with the sweep in SWEEP_DIR")
	f.BoolVar(&o.dryRun, "dry-run", false, "say how many runs and steps, how much memory and how long, and do nothing")
	f.BoolVar(&o.asJSON, "json", false, "print the table as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "out"); err != nil {
			return err
		}
		if folds < 2 || folds > 100 {
			return usageError("--folds is within 2..100")
		}
		if o.dryRun && o.resume {
			return usageError("--dry-run is of a sweep that begins: leave --resume out")
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
		if s.target, err = sweepOutput.place(o.out); err != nil {
			return err
		}
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

// run names what is trained for a setting: all of it but the blend.
func (x oneSetting) run() string {
	rest, _ := x.Without(blendAxis)
	return rest.String()
}

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
				return nil, plainFlagError(err)
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
	plan     sweepPlan
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
	fmt.Fprintf(s.c.ErrOrStderr(), "%s in %s, %s: %s\n", plural(len(s.data.queries), "query"), plural(len(s.parts), "fold"), plural(len(s.settings), "setting"), plural(len(s.plan.runs), "run"))
	if s.dryRun {
		return s.measureAll(ctx)
	}
	unlock, err := s.open()
	if err != nil {
		return fmt.Errorf("cannot sweep in %s: %w", s.out, err)
	}
	defer unlock()
	if err := s.compareWithRuntime(ctx, s.model, nil, "the model to begin with"); err != nil {
		return err
	}
	var baseline sweep.Values
	measured := make([]sweep.Measured, len(s.settings))
	for i := range measured {
		measured[i].Setting = s.settings[i].Setting
	}
	for fold := range s.parts {
		if err := s.fold(ctx, fold, &baseline, measured); err != nil {
			return err
		}
	}
	for i := range measured {
		measured[i].Seconds = s.plan.took(s.settings[i].run())
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
		atomicfile.WriteBytes(filepath.Join(s.target, sweepFile), append(b, '\n')), atomicfile.WriteBytes(filepath.Join(s.target, sweepCSVFile), list.Bytes()))
	if err != nil {
		return err
	}
	if s.asJSON {
		return writeJSON(s.c.OutOrStdout(), table)
	}
	return table.WriteText(s.c.OutOrStdout())
}

// clean removes what is large and only needed for training.
func (s *sweeping) clean() error {
	entries, err := os.ReadDir(s.target)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), activationsPrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(s.target, e.Name())))
		}
	}
	for _, x := range s.settings {
		for fold := range s.parts {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.target, x.folder(), foldName(fold), "checkpoints")))
		}
	}
	return err
}

// open begins the folder of the sweep, or finds it to be of the same.
func (s *sweeping) open() (unlock func(), err error) {
	if err := os.MkdirAll(s.target, 0o755); err != nil {
		return nil, err
	}
	release, err := filelock.Take(filepath.Join(s.target, ".lock"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	if err := atomicfile.Clean(s.target); err != nil {
		return nil, err
	}
	var grid []sweep.Setting
	for _, x := range s.settings {
		grid = append(grid, x.Setting)
	}
	want, err := checksum.MarshalJSON(struct {
		Folds    int               `json:"folds"`
		Settings []sweep.Setting   `json:"settings"`
		Config   train.Config      `json:"config"` // where settings say nothing else
		Inputs   map[string]string `json:"inputs"`
	}{s.folds, grid, s.config, s.job.Inputs})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.target, sweepConfigFile)
	got, err := regular.ReadFile(path, maxReport)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		entries, err := os.ReadDir(s.target)
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/judgments"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/device"
	"github.com/trirank/trirank/train/finetuned"
	"github.com/trirank/trirank/train/weights"
)

// What a run leaves in its folder, beside what package train does.
const (
	deltaFile   = "delta.safetensors"
	modelFolder = "model"
)

// trainFlags are the flags of trirank train.
type trainFlags struct {
	catalogue, model, out, template string
	split, device, mine, teacher    string
	relevant, gains                 string
	validation, blend               float64
	resume, dryRun, asJSON          bool
	config                          train.Config
}

func newTrainCommand() *cobra.Command {
	o := trainFlags{config: train.DefaultConfig()}
	c := &cobra.Command{
		Use:   "train --catalog CATALOGUE --out RUN_DIR",
		Short: "Fine-tune an embedding model on a catalogue's judgements",
		Long: `Train teaches an E5 model what a catalogue's judgements say: a query's exact
products come before its own irrelevant ones and before all others of the batch;
substitutes are never taken for wrong.

RUN_DIR becomes the record of the run: config.json, metrics.jsonl, logs/ for
TensorBoard, checkpoints/, and at the end delta.safetensors, what was learnt, and
model/, a model directory that trirank index takes. Each save is checked: ONNX
Runtime's vectors must equal the trainer's.

Only judgements of the split train are learnt from, where there are splits. A
fifth of the queries, chosen by the hash of their text, is kept out for
validation: the best checkpoint by their nDCG@10 is saved, and training ends when
it gets no better. What the model saw is written to training.json, so that trirank
eval does not test it on that.

A run that was interrupted goes on with --resume; its steps are those of one that
was not.`,
		Example: `  trirank train --catalog sample --out runs/a
  trirank train --catalog shop --train all --learning-rate 2e-5 --batch 64 --micro 32 --out runs/b
  trirank train --catalog shop --mine shop.index --negatives 3 --out runs/c --dry-run
  trirank index --catalog shop --model pretrained=e5-small-v2 --model finetuned=runs/a/model --out shop.index`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	o.inputs(f)
	f.StringVar(&o.out, "out", "", "folder of the run")
	configFlags(f, &o.config)
	f.Float64Var(&o.blend, "blend", 0, "share of the pretrained weights in what is saved")
	f.BoolVar(&o.resume, "resume", false, "go on with the run in RUN_DIR")
	f.BoolVar(&o.dryRun, "dry-run", false, "say how many steps, how much memory and how long, and do nothing")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	c.AddCommand(newTrainSweepCommand())
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "out"); err != nil {
			return err
		}
		if !(o.blend >= 0 && o.blend <= 1) {
			return usageError("--blend is within 0..1")
		}
		if err := o.check(c); err != nil {
			return err
		}
		t := &training{trainFlags: &o, c: c}
		var err error
		if t.target, err = trainOutput.place(o.out); err != nil {
			return err
		}
		defer t.close()
		return t.run(c.Context())
	}
	return c
}

// inputs adds the flags that say what is learnt from and where.
func (o *trainFlags) inputs(f *pflag.FlagSet) {
	f.StringVar(&o.catalogue, "catalog", "", "catalogue directory, or the word sample")
	f.StringVar(&o.model, "model", defaultModel, "model to begin with: a directory or a name, in 32-bit floats")
	f.StringVar(&o.template, "template", catalog.DefaultTemplate, "the text of a product that is embedded")
	f.StringVar(&o.split, "split", "", "learn from this split only; all for every judgement (default: train where there is one)")
	f.StringVar(&o.relevant, "relevant", "", "labels that are right, such as E+S or >=2 (default E, or from half of the greatest number on); others with a tenth of the greatest gain are not taken for wrong")
	f.StringVar(&o.gains, "gains", "", "gains of the labels, such as 3=1,2=0.3,1=0.1,0=0 (default: ESCI's, or the numbers themselves)")
	f.Float64Var(&o.validation, "validation", .2, "share of the queries that is kept out for validation")
	f.StringVar(&o.mine, "mine", "", "index to find hard negatives in: what its rankings confuse with the exact products")
	f.StringVar(&o.teacher, "teacher", "", "table of query, product_id and score, what a teacher thinks of products, to distil")
	f.StringVar(&o.device, "device", "auto", "auto, cpu (XLA), gpu (XLA) or go (plain Go)")
}

// configFlags adds the flags that say how is learnt. Their defaults are what is in d.
func configFlags(f *pflag.FlagSet, d *train.Config) {
	f.StringVar(&d.Train, "train", d.Train, "what learns: all, top:LAYERS, lora:RANK, or adapter (a matrix after the network)")
	f.Float64Var(&d.LoRAAlpha, "lora-alpha", d.LoRAAlpha, "scale of LoRA: its matrices count alpha/rank")
	f.StringSliceVar(&d.LoRATargets, "lora-targets", d.LoRATargets, "matrices that LoRA adapts: "+strings.Join(train.LoRATargetNames, ", "))
	f.StringVar(&d.Objective, "objective", d.Objective, "infonce, listnet (probabilities that follow the gains) or distill (those of --teacher alone)")
	f.Float64Var(&d.Temperature, "temperature", d.Temperature, "what cosines are divided by; E5 was made with .01")
	f.Float64Var(&d.CoSENT, "cosent", d.CoSENT, "weight of a loss over the order of a query's own products")
	f.Float64Var(&d.SubstituteWeight, "substitute-weight", d.SubstituteWeight, "share that substitutes should have, against 1; 0 leaves them out")
	f.Float64Var(&d.PopularityWeight, "popularity-weight", d.PopularityWeight, "how much more of the probability the most popular of the right products should have; 0 leaves popularity out")
	f.Float64Var(&d.TeacherWeight, "teacher-weight", d.TeacherWeight, "weight of the divergence from --teacher beside the objective (default 1 with --teacher)")
	f.Float64Var(&d.TeacherTemperature, "teacher-temperature", d.TeacherTemperature, "what the teacher's scores are divided by")
	f.IntSliceVar(&d.Matryoshka, "matryoshka", d.Matryoshka, "dimensions that should rank well by themselves, such as 128,256")
	f.IntVar(&d.Batch, "batch", d.Batch, "examples a step: a query with an exact product each")
	f.IntVar(&d.Negatives, "negatives", d.Negatives, "hard negatives a query")
	f.IntVar(&d.Micro, "micro", d.Micro, "rows of --max-tokens encoded at once, to save memory; short texts share a row; 0 for all of a batch")
	f.IntVar(&d.MaxTokens, "max-tokens", d.MaxTokens, "longer texts are cut in training")
	f.Float64Var(&d.Epochs, "epochs", d.Epochs, "how often each exact judgement is learnt from")
	f.Float64Var(&d.Rate, "learning-rate", d.Rate, "of AdamW, at its highest")
	f.StringVar(&d.Schedule, "schedule", d.Schedule, "how it falls after the warm-up: cosine, linear or constant")
	f.Float64Var(&d.Warmup, "warmup", d.Warmup, "share of the steps in which it rises")
	f.Float64Var(&d.Decay, "weight-decay", d.Decay, "of matrices")
	f.Float64Var(&d.Clip, "clip", d.Clip, "greatest norm of a gradient")
	f.Float64Var(&d.EMA, "ema", d.EMA, "average the weights over steps with this decay, such as .99, and save the average")
	f.Uint64Var(&d.Seed, "seed", d.Seed, "of everything that is drawn at random")
	f.IntVar(&d.ValidateEach, "validate-each", d.ValidateEach, "steps between validations; 0 for an epoch")
	f.IntVar(&d.Patience, "patience", d.Patience, "validations without gain before it stops; 0 for never")
}

// check reports flags that do not fit together.
func (o *trainFlags) check(c *cobra.Command) error {
	if !(o.validation >= 0 && o.validation < 1) {
		return usageError("--validation is a share of the queries, from 0 to below 1")
	}
	if err := o.complete(&o.config, c.Flags().Changed("teacher-weight")); err != nil {
		return usageError("%v", err)
	}
	return nil
}

// complete checks a configuration and sets the weight of the teacher if nobody did.
func (o *trainFlags) complete(d *train.Config, weighted bool) error {
	if o.teacher == "" && (d.Objective == train.Distill || d.TeacherWeight > 0) {
		return errors.New("distilling needs a teacher's scores: name their file by --teacher")
	}
	if o.teacher != "" && d.Objective != train.Distill && !weighted {
		d.TeacherWeight = 1
	}
	return d.Validate()
}

// training is a run of trirank train between its steps.
type training struct {
	*trainFlags
	c       *cobra.Command
	model   store.Model
	backend compute.Backend
	job     train.Job
	data    *dataset
	target  string // the folder that --out means
	folds   int    // of a sweep; 0: this is a single run
	held    int    // queries kept for validation
	record  eval.Training
}

func (t *training) close() {
	if t.model.Encoder != nil {
		t.model.Encoder.Close()
	}
}

// prepare reads all that is learnt from and opens the device.
func (t *training) prepare(ctx context.Context) (err error) {
	if t.model, err = openModel(ctx, t.trainFlags.model); err != nil {
		return err
	}
	if p := t.model.Encoder.Model.Precision; p != "fp32" {
		return fmt.Errorf("cannot train model %s: its weights are %s (begin with one of fp32)", t.model.Dir, p)
	}
	if t.job.Weights, err = readWeights(t.model.Dir); err != nil {
		return err
	}
	backend, note, err := device.Open(t.device, "")
	if err != nil {
		return err
	}
	t.backend = backend
	if note != "" {
		fmt.Fprintf(t.c.ErrOrStderr(), "note: %s\n", note)
	}
	return t.readData(ctx)
}

func (t *training) run(ctx context.Context) error {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	t.job.Config, t.job.Dir, t.job.Resume = t.config, t.target, t.resume
	steps, epoch := t.job.Steps()
	w := t.c.ErrOrStderr()
	fmt.Fprintf(w, "%s to learn from with %s, %s for validation; %s of %s, %d an epoch\n", plural(len(t.job.Data.Queries), "query"),
		plural(t.job.Examples(), "example"), plural(t.held, "query"), plural(steps, "step"), plural(t.config.Batch, "example"), epoch)
	if t.trainFlags.relevant == "" && t.data.relevant != string(judgments.Exact) {
		fmt.Fprintf(w, "note: products with labels %s are taken for right (say with --relevant if others are)\n", t.data.relevant)
	}
	t.noteLeft(w)
	if _, err := os.Stat(t.out); t.resume && errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(w, "note: there is no run in %s to go on with: it begins\n", t.out)
	}
	if t.dryRun {
		return t.measure(ctx, steps)
	}
	return t.learn(ctx, steps)
}

// noteLeft says, before the time is spent, if nothing will tell whether the model is better.
func (t *training) noteLeft(w io.Writer) {
	if t.held == 0 {
		fmt.Fprintln(w, "note: no query is kept out for validation, so the last checkpoint is taken, good or not: "+
			"keep some out with --validation 0.2, for which a catalogue of few queries needs more of them")
	}
	if t.data.left > 0 {
		return
	}
	why := "every query is of the split " + t.data.split
	switch t.data.split {
	case "":
		why = "the judgements have no splits"
	case "all":
		why = "--split all takes every query"
	}
	fmt.Fprintf(w, "note: %s, so all queries are learnt from or validate, and trirank eval has none left to test this model on: "+
		"split them with trirank import --split test=30%%, or measure the setting by trirank train sweep\n", why)
}

// readWeights reads the weights of a model directory.
func readWeights(dir string) (out []train.Weight, err error) {
	network, err := weights.Open(filepath.Join(dir, encoder.NetworkFile))
	if err != nil {
		return nil, err
	}
	for i := range network.Tensors {
		x := &network.Tensors[i]
		out = append(out, train.Weight{Name: x.Name, Dims: x.Dims, Values: network.Values(x)})
	}
	return out, nil
}

// measure tells what a run would cost, from a few steps of it.
func (t *training) measure(ctx context.Context, steps int) error {
	cost, err := train.Measure(ctx, t.backend, &t.job)
	if err != nil {
		return err
	}
	if t.asJSON {
		return writeJSON(t.c.OutOrStdout(), cost)
	}
	w := t.c.OutOrStdout()
	fmt.Fprintf(w, "%d of %d numbers are trained\n", cost.Trained, cost.Parameters)
	if cost.FrozenSeconds > 0 {
		fmt.Fprintf(w, "%s for all texts to go through the frozen layers, once\n", duration(cost.FrozenSeconds))
	}
	fmt.Fprintf(w, "%s of %.2f s: %s, after %s to compile; validations not counted\n", plural(steps, "step"), cost.StepSeconds,
		duration(float64(steps)*cost.StepSeconds), duration(cost.CompileSeconds))
	printSpace(w, cost.PeakGB, cost.CacheGB)
	return nil
}

// printSpace says how much memory training takes, and how much disk while it runs.
func printSpace(w io.Writer, peakGB, cacheGB float64) {
	fmt.Fprintf(w, "%.1f GB of memory at most\n", peakGB)
	if cacheGB > 0 {
		fmt.Fprintf(w, "%.2f GB on disk for what the frozen layers make of the texts, while it runs\n", cacheGB)
	}
}

func (t *training) learn(ctx context.Context, steps int) error {
	if err := t.compareWithRuntime(ctx, t.model, nil, "the model to begin with"); err != nil {
		return err
	}
	result, err := t.train(ctx, &t.job)
	if err != nil {
		return err
	}
	defer result.Trainer.Close()
	var saved *train.Values // nil: what the best validation found
	if t.blend > 0 {
		if err := result.Trainer.Blend(t.blend); err != nil {
			return err
		}
		if v := t.job.Validation; v != nil {
			if saved, err = v.Measure(ctx, result.Trainer, 0); err != nil {
				return err
			}
		}
	}
	folder, err := filepath.Abs(t.out)
	if err != nil {
		return err
	}
	name := filepath.Base(folder)
	base := t.model.Encoder.Model
	d := &finetuned.Delta{Base: base.Hash(), BaseName: base.Name, Run: name, Alpha: t.config.LoRAAlpha, Blend: t.blend, Training: t.record, Weights: result.Trained}
	delta, dir := filepath.Join(t.out, deltaFile), filepath.Join(t.out, modelFolder)
	err = finetuned.Merge(t.model.Dir, d, dir, base.Name+"-"+name, func(dir string) error {
		m, err := openModel(ctx, dir)
		if err != nil {
			return err
		}
		defer m.Encoder.Close()
		if err := m.Encoder.SelfTest(ctx); err != nil {
			return fmt.Errorf("training has ruined the model, so it is not saved (take a lower --learning-rate or a higher --temperature): %w", err)
		}
		return t.compareWithRuntime(ctx, m, result.Trainer, "the model to be saved")
	})
	if err != nil {
		return err
	}
	if err := d.Write(delta); err != nil {
		return err
	}
	out := trained{Steps: result.Steps, Start: result.Start, Best: result.Best, Stopped: result.Stopped, Model: dir, Delta: delta}
	if saved != nil {
		ndcg, recall := saved.Means()
		out.Saved = &train.Point{Step: result.Best.Step, NDCG: ndcg, Recall: recall}
	}
	if t.asJSON {
		return writeJSON(t.c.OutOrStdout(), out)
	}
	out.print(t.c.OutOrStdout(), t.blend)
	return nil
}

// trained is what a run prints.
type trained struct {
	Steps   int          `json:"steps"`
	Start   *train.Point `json:"start,omitempty"`
	Best    *train.Point `json:"best,omitempty"`
	Saved   *train.Point `json:"saved,omitempty"` // with pretrained weights in it
	Stopped bool         `json:"stopped_early"`
	Model   string       `json:"model"`
	Delta   string       `json:"delta"`
}

func (r *trained) print(w io.Writer, blend float64) {
	if r.Best != nil && r.Start != nil {
		fmt.Fprintf(w, "validation nDCG@10 %.4f before, %.4f at step %d of %d, recall@100 %.4f and %.4f\n", r.Start.NDCG, r.Best.NDCG, r.Best.Step, r.Steps, r.Start.Recall, r.Best.Recall)
		switch {
		case r.Best.Step == 0:
			fmt.Fprintln(w, "nothing was learnt that helps the queries kept out: what is saved is the model to begin with")
		case r.Stopped:
			fmt.Fprintln(w, "stopped early: it got no better")
		}
	}
	if blend > 0 {
		fmt.Fprintf(w, "what is saved has %g of the pretrained weights in it", blend)
		if r.Saved != nil {
			fmt.Fprintf(w, ": nDCG@10 %.4f, recall@100 %.4f", r.Saved.NDCG, r.Saved.Recall)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "model: %s\ndelta: %s\n", r.Model, r.Delta)
	fmt.Fprintln(w, "a few queries prove nothing: index it beside the pretrained model and let trirank eval compare them")
}

// train runs a job and reports on it.
func (t *training) train(ctx context.Context, j *train.Job) (*train.Result, error) {
	w := t.c.ErrOrStderr()
	steps, _ := j.Steps()
	p := progress.Start(w, "training", "step", steps)
	var frozen *progress.Progress
	last, begun := 0., false
	j.Report = func(s train.Status) {
		switch {
		case s.ToCache > 0:
			if frozen == nil {
				frozen = progress.Start(w, "frozen layers", "text", s.ToCache)
			}
			if frozen.Set(s.Cached); s.Cached == s.ToCache {
				frozen.Done()
			}
		case s.Resumed:
			p.Skip(s.Step)
		case s.Validation != nil:
			v := s.Validation
			fmt.Fprintf(w, "step %d: validation nDCG@10 %.4f, recall@100 %.4f, loss %.4f", v.Step, v.NDCG, v.Recall, v.Loss)
			if last > 0 {
				fmt.Fprintf(w, " (training %.4f)", last)
			}
			fmt.Fprintln(w)
		default:
			last = s.Loss
			if begun {
				p.Set(s.Step)
			} else { // it was compiled for
				p.Restart(s.Step)
				begun = true
			}
		}
	}
	result, err := train.Run(ctx, t.backend, j)
	if err != nil {
		p.Stop()
		return nil, err
	}
	p.Done()
	return result, nil
}

// compareWithRuntime checks that ONNX Runtime and the trainer make the same vectors
// of one model: that the graph, the weights and the tokens mean the same to both.
// trainer is nil for one that holds the weights of the model's files.
func (t *training) compareWithRuntime(ctx context.Context, m store.Model, trainer *train.Trainer, what string) error {
	texts := []string{"wireless mouse", "Ergonomic office chair with lumbar support, black", "x", "usb c charger 65w for laptop and phone, foldable plug"}
	var tokens [][]int32
	for i, text := range texts {
		ids, err := m.Encoder.Tokens(text, i%2 == 0)
		if err != nil {
			return err
		}
		tokens = append(tokens, signed(ids))
	}
	if trainer == nil {
		list, err := readWeights(m.Dir)
		if err != nil {
			return err
		}
		c := t.config
		c.Train, c.EMA = "lora:1", 0 // little memory; LoRA changes nothing at first
		if trainer, err = train.NewTrainer(t.backend, list, &c); err != nil {
			return err
		}
		defer trainer.Close()
	}
	got, err := trainer.Vectors(ctx, tokens)
	if err != nil {
		return err
	}
	dim := trainer.Dimension()
	want := make([]float32, len(texts)*dim)
	for i, text := range texts {
		encode := m.Encoder.Passages
		if i%2 == 0 {
			encode = m.Encoder.Queries
		}
		if err := encode(ctx, []string{text}, want[i*dim:(i+1)*dim]); err != nil {
			return err
		}
	}
	for i, text := range texts {
		cosine := 0.
		for j := range dim {
			cosine += float64(got[i*dim+j]) * float64(want[i*dim+j])
		}
		if math.IsNaN(cosine) || cosine < .9999 {
			return fmt.Errorf("%s: ONNX Runtime and the trainer disagree on %q: cosine %.6f (this network is not the BERT that the trainer knows)", what, text, cosine)
		}
	}
	runtime.GC()
	return nil
}

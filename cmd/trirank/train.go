package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/device"
	"github.com/trirank/trirank/train/finetuned"
	"github.com/trirank/trirank/train/weights"
)

// trainFlags are the flags of trirank train.
type trainFlags struct {
	catalogue, model, out, template string
	split, device, mine             string
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
	f, d := c.Flags(), &o.config
	f.StringVar(&o.catalogue, "catalog", "", "catalogue directory, or the word sample")
	f.StringVar(&o.model, "model", defaultModel, "model to begin with: a directory or a name, in 32-bit floats")
	f.StringVar(&o.out, "out", "", "folder of the run")
	f.StringVar(&o.template, "template", catalog.DefaultTemplate, "the text of a product that is embedded")
	f.StringVar(&o.split, "split", "", "learn from this split only; all for every judgement (default: train where there is one)")
	f.Float64Var(&o.validation, "validation", .2, "share of the queries that is kept out for validation")
	f.StringVar(&o.mine, "mine", "", "index to find hard negatives in: what its rankings confuse with the exact products")
	f.StringVar(&o.device, "device", "auto", "auto, cpu (XLA), gpu (XLA) or go (plain Go)")
	f.StringVar(&d.Train, "train", d.Train, "which weights learn: all, top:LAYERS or lora:RANK")
	f.Float64Var(&d.LoRAAlpha, "lora-alpha", d.LoRAAlpha, "scale of LoRA: its matrices count alpha/rank")
	f.StringVar(&d.Objective, "objective", d.Objective, "infonce, or listnet (probabilities that follow the gains)")
	f.Float64Var(&d.Temperature, "temperature", d.Temperature, "what cosines are divided by; E5 was made with .01")
	f.Float64Var(&d.CoSENT, "cosent", d.CoSENT, "weight of a loss over the order of a query's own products")
	f.Float64Var(&d.SubstituteWeight, "substitute-weight", d.SubstituteWeight, "share that substitutes should have, against 1; 0 leaves them out")
	f.IntSliceVar(&d.Matryoshka, "matryoshka", nil, "dimensions that should rank well by themselves, such as 128,256")
	f.IntVar(&d.Batch, "batch", d.Batch, "queries a step")
	f.IntVar(&d.Negatives, "negatives", d.Negatives, "hard negatives a query")
	f.IntVar(&d.Micro, "micro", d.Micro, "texts encoded at once, to save memory; 0 for all of a batch")
	f.IntVar(&d.MaxTokens, "max-tokens", d.MaxTokens, "longer texts are cut in training")
	f.Float64Var(&d.Epochs, "epochs", d.Epochs, "how often each exact judgement is learnt from")
	f.Float64Var(&d.Rate, "learning-rate", d.Rate, "of AdamW, at its highest")
	f.StringVar(&d.Schedule, "schedule", d.Schedule, "how it falls after the warm-up: cosine, linear or constant")
	f.Float64Var(&d.Warmup, "warmup", d.Warmup, "share of the steps in which it rises")
	f.Float64Var(&d.Decay, "weight-decay", d.Decay, "of matrices")
	f.Float64Var(&d.Clip, "clip", d.Clip, "greatest norm of a gradient")
	f.Float64Var(&d.EMA, "ema", d.EMA, "average the weights over steps with this decay, such as .99, and save the average")
	f.Float64Var(&o.blend, "blend", 0, "share of the pretrained weights in what is saved")
	f.Uint64Var(&d.Seed, "seed", d.Seed, "of everything that is drawn at random")
	f.IntVar(&d.ValidateEach, "validate-each", d.ValidateEach, "steps between validations; 0 for an epoch")
	f.IntVar(&d.Patience, "patience", d.Patience, "validations without gain before it stops; 0 for never")
	f.BoolVar(&o.resume, "resume", false, "go on with the run in RUN_DIR")
	f.BoolVar(&o.dryRun, "dry-run", false, "say how many steps, how much memory and how long, and do nothing")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "out"); err != nil {
			return err
		}
		if err := o.config.Validate(); err != nil {
			return usageError("%v", err)
		}
		if !(o.blend >= 0 && o.blend <= 1) || !(o.validation >= 0 && o.validation < 1) {
			return usageError("--blend is within 0..1 and --validation within 0..1")
		}
		t := &training{trainFlags: &o, c: c}
		defer t.close()
		return t.run(c.Context())
	}
	return c
}

// training is a run of trirank train between its steps.
type training struct {
	*trainFlags
	c       *cobra.Command
	model   store.Model
	network *weights.File
	backend compute.Backend
	job     train.Job
	held    int // queries kept for validation
	record  eval.Training
}

func (t *training) close() {
	if t.model.Encoder != nil {
		t.model.Encoder.Close()
	}
}

func (t *training) run(ctx context.Context) (err error) {
	if t.model, err = openModel(t.trainFlags.model); err != nil {
		return err
	}
	if p := t.model.Encoder.Model.Precision; p != "fp32" {
		return fmt.Errorf("cannot train model %s: its weights are %s (begin with one of fp32)", t.model.Dir, p)
	}
	if t.network, err = weights.Open(filepath.Join(t.model.Dir, "model.onnx")); err != nil {
		return err
	}
	for i := range t.network.Tensors {
		x := &t.network.Tensors[i]
		t.job.Weights = append(t.job.Weights, train.Weight{Name: x.Name, Dims: x.Dims, Values: t.network.Values(x)})
	}
	if err := t.readData(ctx); err != nil {
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
	t.job.Config, t.job.Dir, t.job.Resume = t.config, t.out, t.resume
	steps, epoch := t.job.Steps()
	fmt.Fprintf(t.c.ErrOrStderr(), "%d queries to learn from, %d for validation; %d steps of %d queries, %d an epoch\n",
		len(t.job.Data.Queries), t.held, steps, t.config.Batch, epoch)
	if t.dryRun {
		return t.measure(ctx, steps)
	}
	return t.learn(ctx, steps)
}

// readData makes tokens of the judgements and parts them.
func (t *training) readData(ctx context.Context) error {
	cat, err := catalog.Load(t.catalogue)
	if err != nil {
		return err
	}
	template, err := parseTemplate(t.template)
	if err != nil {
		return err
	}
	judged := map[string]map[string]catalog.Label{}
	splits := map[string]bool{}
	var all []catalog.Judgment
	for j, err := range cat.Judgments() {
		if err != nil {
			return err
		}
		splits[j.Split] = true
		all = append(all, j)
	}
	split := t.split
	if split == "" && splits["train"] {
		split = "train"
	}
	if split == "" && len(splits) > 1 || split == "" && !splits[""] {
		return usageError("the judgements have splits, but none is called train: say which to learn from with --split (all for every judgement)")
	}
	if split != "" && split != "all" && !splits[split] {
		return usageError("--split: no judgement is in split %q", split)
	}
	var texts []string // in order of appearance
	for _, j := range all {
		if split != "" && split != "all" && j.Split != split {
			continue
		}
		if judged[j.Query] == nil {
			judged[j.Query] = map[string]catalog.Label{}
			texts = append(texts, j.Query)
		}
		judged[j.Query][j.ProductID] = j.Label
	}
	if len(texts) == 0 {
		return fmt.Errorf("cannot train on catalogue %s: it has no judgements", t.catalogue)
	}
	learn, held := &pile{}, &pile{}
	for _, q := range texts {
		to := learn
		if heldOut(q, t.validation) {
			to = held
		}
		to.queries = append(to.queries, q)
	}
	keptOut := slices.Clone(held.queries)
	if len(held.queries) > mostValidation { // all are kept out, enough are asked
		held.queries = held.queries[:mostValidation]
	}
	t.held = len(held.queries)
	mined, err := t.mineNegatives(ctx, cat, learn.queries, all)
	if err != nil {
		return err
	}
	for _, p := range []*pile{learn, held} {
		p.want(judged, mined, p == learn)
	}
	// Validation ranks among other products as well, evenly spaced.
	const others = 2000
	every := max(1, cat.Rows()/others)
	row := 0
	step := progress.Start(t.c.ErrOrStderr(), "reading", "products", cat.Rows())
	for p, err := range cat.Products() {
		if err != nil {
			step.Stop()
			return err
		}
		tokens := func() ([]int32, error) { return t.tokens(template.Text(&p), false) }
		if err := learn.add(p.ID, false, tokens); err != nil {
			return err
		}
		if err := held.add(p.ID, row%every == 0, tokens); err != nil {
			return err
		}
		row++
		step.Set(row)
	}
	step.Done()
	if t.job.Data, err = learn.data(judged, mined, t.tokens); err != nil {
		return err
	}
	if t.held > 0 {
		d, err := held.data(judged, nil, t.tokens)
		if err != nil {
			return err
		}
		if t.job.Validation, err = train.NewValidation(d); err != nil {
			return fmt.Errorf("cannot validate on the %d queries that were kept out: %w (keep out more by --validation, or none by --validation 0)", t.held, err)
		}
	}
	// What its parent learnt, the model knows as well.
	if t.record, err = parentRecord(t.model.Dir); err != nil {
		return err
	}
	t.record.Queries = append(t.record.Queries, slices.Concat(learn.queries, keptOut)...)
	for _, p := range t.job.Data.Products {
		t.record.Products = append(t.record.Products, p.ID)
	}
	slices.Sort(t.record.Queries)
	slices.Sort(t.record.Products)
	t.record.Queries, t.record.Products = slices.Compact(t.record.Queries), slices.Compact(t.record.Products)
	t.job.Inputs = map[string]string{
		"catalogue": cat.Hash(), "model": t.model.Encoder.Model.Hash(), "template": template.String(), "split": split,
		"validation": fmt.Sprint(t.validation), "queries": fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(t.record.Queries, "\n")))),
		"products": fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(t.record.Products, "\n")))), "mined": hashMined(mined),
	}
	return nil
}

// mostValidation bounds the queries that a validation asks: more cost time at every
// one and hardly change its figures.
const mostValidation = 500

// parentRecord is the record of training of the model to begin with, empty if it
// has none.
func parentRecord(dir string) (eval.Training, error) {
	f, err := os.Open(filepath.Join(dir, eval.TrainingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return eval.Training{}, nil
	}
	if err != nil {
		return eval.Training{}, err
	}
	defer f.Close()
	r, err := eval.ReadTraining(f)
	if err != nil {
		return eval.Training{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return *r, nil
}

// hashMined stands for what was mined for each query; empty for nothing.
func hashMined(mined map[string][]string) string {
	if mined == nil {
		return ""
	}
	h := sha256.New()
	for _, q := range slices.Sorted(maps.Keys(mined)) {
		fmt.Fprintf(h, "%s\t%s\n", q, strings.Join(mined[q], "\t"))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// heldOut chooses queries by their text alone, so that more judgements change
// nothing for the others.
func heldOut(query string, share float64) bool {
	sum := sha256.Sum256([]byte("validation\n" + eval.Fold(query)))
	return float64(uint16(sum[0])<<8|uint16(sum[1])) < share*65536
}

func (t *training) tokens(text string, query bool) ([]int32, error) {
	ids, err := t.model.Encoder.Tokens(text, query)
	if err != nil {
		return nil, err
	}
	if n := t.config.MaxTokens; len(ids) > n { // the last one ends every text
		ids = append(ids[:n-1:n-1], ids[len(ids)-1])
	}
	return signed(ids), nil
}

func signed(ids []uint32) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// pile is queries with the products that they need.
type pile struct {
	queries  []string
	wanted   map[string]bool
	products []train.Product
	at       map[string]int
}

func (p *pile) want(judged map[string]map[string]catalog.Label, mined map[string][]string, withMined bool) {
	p.wanted, p.at = map[string]bool{}, map[string]int{}
	for _, q := range p.queries {
		for id := range judged[q] {
			p.wanted[id] = true
		}
		if withMined {
			for _, id := range mined[q] {
				p.wanted[id] = true
			}
		}
	}
}

func (p *pile) add(id string, anyway bool, tokens func() ([]int32, error)) error {
	if !p.wanted[id] && (!anyway || len(p.queries) == 0) {
		return nil
	}
	ids, err := tokens()
	if err != nil {
		return err
	}
	p.at[id] = len(p.products)
	p.products = append(p.products, train.Product{ID: id, Tokens: ids})
	return nil
}

func (p *pile) data(judged map[string]map[string]catalog.Label, mined map[string][]string, tokens func(string, bool) ([]int32, error)) (*train.Data, error) {
	d := &train.Data{Products: p.products}
	for _, text := range p.queries {
		q := train.Query{Text: text}
		var err error
		if q.Tokens, err = tokens(text, true); err != nil {
			return nil, err
		}
		for id, label := range judged[text] {
			if at, ok := p.at[id]; ok {
				q.Judged = append(q.Judged, train.Judged{Product: at, Label: label})
			}
		}
		slices.SortFunc(q.Judged, func(a, b train.Judged) int { return a.Product - b.Product })
		for _, id := range mined[text] {
			if at, ok := p.at[id]; ok {
				q.Mined = append(q.Mined, at)
			}
		}
		d.Queries = append(d.Queries, q)
	}
	return d, nil
}

// Where hard negatives are looked for: below the very first hits, which may be
// right though nobody judged them.
const minedFrom, minedTo = 5, 50

// mineNegatives asks the rankings of an index what they confuse with a query's
// exact products. What is judged exact or a substitute, in whatever split and
// spelling of the query, is never taken.
func (t *training) mineNegatives(ctx context.Context, cat *catalog.Catalog, texts []string, all []catalog.Judgment) (map[string][]string, error) {
	if t.mine == "" {
		return nil, nil
	}
	x, err := store.Open(ctx, t.mine, store.OpenOptions{})
	if err != nil {
		return nil, err
	}
	defer x.Close()
	if x.Manifest.Catalogue.Hash != cat.Hash() {
		return nil, fmt.Errorf("cannot mine negatives: index %s is of another catalogue (%s)", t.mine, x.Manifest.Catalogue.Name)
	}
	right := map[string]map[string]bool{}
	for _, j := range all {
		if j.Label == catalog.Exact || j.Label == catalog.Substitute {
			q := eval.Fold(j.Query)
			if right[q] == nil {
				right[q] = map[string]bool{}
			}
			right[q][j.ProductID] = true
		}
	}
	p := progress.Start(t.c.ErrOrStderr(), "mining negatives", "queries", len(texts))
	out := map[string][]string{}
	for i, q := range texts {
		lists, err := x.Engine.Lists(ctx, q, nil)
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("cannot mine negatives: %w", err)
		}
		for _, l := range lists {
			for rank, h := range l.Hits {
				if rank >= minedFrom && rank < minedTo && !right[eval.Fold(q)][h.ID] && !slices.Contains(out[q], h.ID) {
					out[q] = append(out[q], h.ID)
				}
			}
		}
		p.Set(i + 1)
	}
	p.Done()
	return out, nil
}

// measure tells what a run would cost, from three steps of it.
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
	fmt.Fprintf(w, "%d steps of %.2f s: %s, after %s to compile; validations not counted\n", steps, cost.StepSeconds,
		time.Duration(float64(steps)*cost.StepSeconds*1e9).Round(time.Second), time.Duration(cost.CompileSeconds*1e9).Round(time.Second))
	fmt.Fprintf(w, "%.1f GB of memory at most\n", cost.PeakGB)
	return nil
}

func (t *training) learn(ctx context.Context, steps int) error {
	if err := t.compareWithRuntime(ctx, t.model, nil, "the model to begin with"); err != nil {
		return err
	}
	w := t.c.ErrOrStderr()
	p := progress.Start(w, "training", "steps", steps)
	last := 0.
	t.job.Report = func(s train.Status) {
		switch {
		case s.Resumed:
			p.Skip(s.Step)
		case s.Validation != nil:
			v := s.Validation
			fmt.Fprintf(w, "step %d: validation nDCG@10 %.4f, recall@100 %.4f, loss %.4f (training %.4f)\n", v.Step, v.NDCG, v.Recall, v.Loss, last)
		default:
			last = s.Loss
			p.Set(s.Step)
		}
	}
	result, err := train.Run(ctx, t.backend, &t.job)
	if err != nil {
		p.Stop()
		return err
	}
	p.Done()
	folder, err := filepath.Abs(t.out)
	if err != nil {
		return err
	}
	name := filepath.Base(folder)
	base := t.model.Encoder.Model
	d := &finetuned.Delta{Base: base.Hash(), BaseName: base.Name, Run: name, Alpha: t.config.LoRAAlpha, Blend: t.blend, Training: t.record, Weights: result.Trained}
	delta, dir := filepath.Join(t.out, "delta.safetensors"), filepath.Join(t.out, "model")
	if err := d.Write(delta); err != nil {
		return err
	}
	if err := finetuned.Merge(t.model.Dir, d, dir, base.Name+"-"+name); err != nil {
		return err
	}
	saved, err := openModel(dir)
	if err != nil {
		return err
	}
	defer saved.Encoder.Close()
	if err := saved.Encoder.SelfTest(ctx); err != nil {
		return fmt.Errorf("the saved model does not work: %w", err)
	}
	var trainer *train.Trainer
	if t.blend == 0 { // what is blended is not what the trainer holds
		trainer = result.Trainer
	}
	if err := t.compareWithRuntime(ctx, saved, trainer, "the saved model"); err != nil {
		return err
	}
	if t.asJSON {
		return writeJSON(t.c.OutOrStdout(), struct {
			Steps   int          `json:"steps"`
			Start   *train.Point `json:"start,omitempty"`
			Best    *train.Point `json:"best,omitempty"`
			Stopped bool         `json:"stopped_early"`
			Model   string       `json:"model"`
			Delta   string       `json:"delta"`
		}{result.Steps, result.Start, result.Best, result.Stopped, dir, delta})
	}
	printTrained(t.c.OutOrStdout(), result, dir, delta)
	if t.blend > 0 {
		fmt.Fprintf(t.c.OutOrStdout(), "the figures are of what was learnt; what is saved has %g of the pretrained weights in it\n", t.blend)
	}
	return nil
}

func printTrained(w io.Writer, r *train.Result, dir, delta string) {
	if r.Best != nil && r.Start != nil {
		fmt.Fprintf(w, "validation nDCG@10 %.4f before, %.4f at step %d of %d, recall@100 %.4f and %.4f\n", r.Start.NDCG, r.Best.NDCG, r.Best.Step, r.Steps, r.Start.Recall, r.Best.Recall)
		switch {
		case r.Best.Step == 0:
			fmt.Fprintln(w, "nothing was learnt that helps the queries kept out: what is saved is the model to begin with")
		case r.Stopped:
			fmt.Fprintln(w, "stopped early: it got no better")
		}
	}
	fmt.Fprintf(w, "model: %s\ndelta: %s\n", dir, delta)
	fmt.Fprintln(w, "a few queries prove nothing: index it beside the pretrained model and let trirank eval compare them")
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
		network, err := weights.Open(filepath.Join(m.Dir, "model.onnx"))
		if err != nil {
			return err
		}
		var list []train.Weight
		for i := range network.Tensors {
			x := &network.Tensors[i]
			list = append(list, train.Weight{Name: x.Name, Dims: x.Dims, Values: network.Values(x)})
		}
		c := t.config
		c.Train, c.EMA = "lora:1", 0 // little memory; LoRA changes nothing at first
		if trainer, err = train.NewTrainer(t.backend, list, &c); err != nil {
			return err
		}
	}
	got, err := trainer.Vectors(tokens)
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

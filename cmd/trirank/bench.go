package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trirank/trirank/bench"
	benchreport "github.com/trirank/trirank/bench/report"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/formats"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/atomicfile"
)

func newBenchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what speed and quantization cost in relevance",
		Long: `Bench measures on this machine, with an index of yours, what makes searching fast
and what that costs in relevance. Times mean something only while nothing else
runs; compare them within one report.

Each measurement prints a table, and with --out DIR writes index.html with plots,
report.json, and benchmark.txt, which benchstat compares.`,
		Example: `  trirank bench latency --index shop.index
  trirank bench load --index shop.index --out report
  trirank bench recall --index shop.index --out report
  trirank bench quantization --index shop.index --quantized int8 --out report
  trirank bench choose --index shop.index --min-ndcg-loss 0.003 --write`,
	}
	c.AddCommand(newBenchLatencyCommand(), newBenchLoadCommand(), newBenchEncodeCommand(), newBenchRecallCommand(), newBenchQuantizationCommand(), newBenchChooseCommand(), newBenchGenerateCommand())
	return c
}

// benchFlags are those of every measurement of an index.
type benchFlags struct {
	index, system, judgments, format, out string
	models                                []string
	budget                                time.Duration
	asJSON                                bool
	device                                store.Device
}

func (o *benchFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.index, "index", "", "index directory")
	f.StringArrayVar(&o.models, "model", nil, "NAME=MODEL: where the model of a ranking is, if not where it was")
	f.StringVar(&o.out, "out", "", "folder for the report; none is written without it")
	f.BoolVar(&o.asJSON, "json", false, "print the report as JSON")
}

func (o *benchFlags) addVectors(f *pflag.FlagSet) {
	o.add(f)
	f.StringVar(&o.system, "system", "", "ranking whose vectors are searched (default: the first that a model makes)")
	o.addJudgments(f, "judgements by which nDCG is computed")
	f.DurationVar(&o.budget, "budget", 300*time.Millisecond, "how long each configuration is timed")
}

func (o *benchFlags) addJudgments(f *pflag.FlagSet, what string) {
	f.StringVar(&o.judgments, "judgments", "", what+" (default: those of the index)")
	f.StringVar(&o.format, "judgments-format", "", strings.Join(formats.All, ", ")+" (default: recognized)")
}

// check reports wrong usage of the flags of addVectors.
func (o *benchFlags) check() error { return within("budget", time.Millisecond, longest, o.budget) }

// benching is a measurement of an index.
type benching struct {
	*benchFlags
	c       *cobra.Command
	x       *store.Index
	machine bench.Machine
	qrels   *eval.Qrels
	texts   []string // of the queries
	judge   *bench.Judge
	space   *bench.Space
	notes   []string
}

func (b *benching) close() {
	if b.x != nil {
		b.x.Close()
		b.x = nil
	}
}

func (b *benching) step(what string) { fmt.Fprintln(b.c.ErrOrStderr(), what) }

func (b *benching) open(ctx context.Context) (err error) {
	if err := checkReport(b.out); err != nil {
		return err
	}
	if b.x, err = b.openIndex(ctx); err != nil {
		return err
	}
	libraries := map[string]string{"FAISS": faiss.Version()}
	if v, err := onnx.Version(); err == nil {
		libraries["ONNX Runtime"] = v
	}
	b.machine = bench.ThisMachine("trirank "+version, libraries)
	printPlacement(b.c, b.x.Placement)
	path, format := b.judgments, b.format
	if path == "" {
		path, format = store.JudgmentsPath(b.index), ""
	}
	src, err := formats.Judgments([]string{path}, formats.Options{Format: format})
	if err != nil {
		if b.judgments == "" {
			err = fmt.Errorf("%w; bench asks judged queries: name a table of them with --judgments", err)
		}
		return err
	}
	if b.qrels, _, err = eval.NewQrels(src.Judgments, eval.QrelsOptions{Known: b.x.Has, Where: src.Where}); err != nil {
		return unreadJudgments(b.index, b.judgments != "", err)
	}
	for _, q := range b.qrels.Queries {
		if q.Text == "" {
			return fmt.Errorf("cannot search for query %s: the judgements have no text for it", q.ID)
		}
		b.texts = append(b.texts, q.Text)
	}
	if len(b.texts) == 0 {
		return errors.New("cannot measure without queries: neither the index has judgements nor --judgments names any")
	}
	return nil
}

func (b *benching) openIndex(ctx context.Context) (*store.Index, error) {
	_, dirs, err := modelFlag(b.models)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, b.index, store.OpenOptions{Models: dirs, Device: b.device})
}

// openVectors opens the index and the vectors of the ranking to measure, after check
// finds nothing wrong with what else is asked for.
func (b *benching) openVectors(ctx context.Context, check func() error) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	if b.system == "" {
		if len(b.x.Manifest.Models) == 0 {
			return fmt.Errorf("index %s has no ranking by vectors", b.index)
		}
		b.system = b.x.Manifest.Models[0].System
	}
	if err := b.checkVectors(b.system); err != nil {
		return err
	}
	if err := check(); err != nil {
		return err
	}
	var err error
	if b.space, err = b.spaceOf(ctx, b.system); err != nil {
		return err
	}
	space, _ := b.x.Space(b.system)
	b.judge, err = bench.NewJudge(b.qrels, space.ID)
	return err
}

// checkVectors is an error if no model makes the ranking.
func (b *benching) checkVectors(system string) error {
	if _, ok := b.x.Model(system); ok {
		return nil
	}
	var names []string
	for _, m := range b.x.Manifest.Models {
		names = append(names, m.System)
	}
	return usageError("index %s has no ranking %q by vectors (there are: %s)", b.index, system, strings.Join(names, ", "))
}

// checkFactories is an error if there can be no such indexes of the ranking's vectors.
func (b *benching) checkFactories(factories []string) error {
	for _, f := range factories {
		if err := b.checkFactory(b.system, f); err != nil {
			return factoryUsage(err)
		}
	}
	return nil
}

func (b *benching) checkFactory(system, factory string) error {
	space, _ := b.x.Space(system) // checkVectors was asked
	vectors, dimension := space.Vectors()
	return faiss.CheckFactory(factory, dimension, len(vectors)/dimension)
}

// spaceOf returns what a ranking searches, its queries encoded one by one as they
// are when the index serves.
func (b *benching) spaceOf(ctx context.Context, system string) (*bench.Space, error) {
	space, _ := b.x.Space(system) // checkVectors was asked
	s := &bench.Space{Name: system}
	m, _ := b.x.Model(system)
	s.Model = m.Model + ", " + m.Precision
	s.Vectors, s.Dimension = space.Vectors()
	b.step(fmt.Sprintf("encoding the queries for %s", system))
	for _, text := range b.texts {
		v, _, err := b.x.Engine.Embed(ctx, system, []string{text}, true)
		if err != nil {
			return nil, err
		}
		s.Queries = append(s.Queries, v[0]...)
	}
	return s, nil
}

func (b *benching) options() bench.SweepOptions {
	return bench.SweepOptions{Budget: b.budget, Step: b.step}
}

// report puts sections together, writes them and prints them.
func (b *benching) report(title string, sections ...bench.Section) error {
	m := b.x.Manifest
	r := &bench.Report{
		Title: title, Date: time.Now().UTC(), Notes: b.notes, Sections: sections,
		Subject: fmt.Sprintf("%s, %s, %d queries, index %.12s", m.Catalogue.Name, plural(m.Catalogue.Rows, "product"), len(b.texts), m.Hash()),
		Machine: b.machine,
	}
	if b.system != "" {
		r.Subject += ", ranking " + b.system
	}
	show := benchreport.Text
	if b.asJSON {
		show = func(w io.Writer, r *bench.Report) error { return writeJSON(w, r) }
	}
	// First, so that a folder that cannot be written to costs no measurement.
	if err := show(b.c.OutOrStdout(), r); err != nil {
		return err
	}
	if b.out == "" {
		return nil
	}
	if err := writeBench(b.out, r); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if !b.asJSON {
		fmt.Fprintf(b.c.OutOrStdout(), "report: %s\n", filepath.Join(b.out, "index.html"))
	}
	return nil
}

func writeBench(dir string, r *bench.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer) error{
		"index.html":    func(w io.Writer) error { return benchreport.HTML(w, r) },
		"report.json":   func(w io.Writer) error { return writeJSON(w, r) },
		"benchmark.txt": r.Write,
	} {
		if err := atomicfile.Write(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	return nil
}

func newBenchRecallCommand() *cobra.Command {
	var o benchFlags
	var factories []string
	var ks []int
	c := &cobra.Command{
		Use:   "recall --index INDEX",
		Short: "Recall and nDCG against latency, over kinds of indexes and their parameters",
		Long: `Recall builds several FAISS indexes of a ranking's vectors and searches them with
all settings from hasty to thorough. The truth is exact search: recall@k is the
share of its first k that is found, and nDCG@10 is compared with it query by query.
Times are of one search on one thread, the query's encoding not counted.`,
		Example: `  trirank bench recall --index shop.index
  trirank bench recall --index shop.index --factory IVF1024,SQ8 --factory HNSW32 --k 10 --out report`,
		Args: cobra.NoArgs,
	}
	o.addVectors(c.Flags())
	c.Flags().StringArrayVar(&factories, "factory", nil, "FAISS factory string, any number of times (default: what suits the number of products)")
	c.Flags().IntSliceVar(&ks, "k", []int{10, 100}, "how many products are searched for")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		if err := cmp.Or(within("k", 1, faiss.MaxK, ks...), o.check()); err != nil {
			return err
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		section, err := b.recall(c.Context(), factories, ks)
		if err != nil {
			return err
		}
		return b.report("Recall and latency", *section)
	}
	return c
}

// recall measures indexes over their parameters.
func (b *benching) recall(ctx context.Context, factories []string, ks []int) (*bench.Section, error) {
	if err := b.openVectors(ctx, func() error { return b.checkFactories(factories) }); err != nil {
		return nil, err
	}
	o := b.options()
	o.Factories, o.K = factories, ks
	results, err := bench.Sweep(ctx, b.space, b.judge, o)
	if err != nil {
		return nil, err
	}
	s := &bench.Section{
		Title: "Indexes and their parameters", Results: results,
		Text: "Recall is the share of what exact search (Flat) ranks first that is found. nDCG@10 is of the first ten; its difference from exact search is paired by query, with a 95 % bootstrap interval. Times are of one search on one thread.",
	}
	for _, k := range ks {
		s.Plots = append(s.Plots, bench.Plot{X: bench.Median, Y: fmt.Sprintf("recall@%d", k), Series: "index", Where: fmt.Sprintf("k=%d", k), LogX: true, Front: true})
	}
	s.Plots = append(s.Plots, bench.Plot{X: bench.Median, Y: bench.Quality, Series: "index", Where: fmt.Sprintf("k=%d", ks[len(ks)-1]), LogX: true, Front: true})
	return s, nil
}

func newBenchQuantizationCommand() *cobra.Command {
	var o benchFlags
	var quantized []string
	var codes, query string
	var write bool
	c := &cobra.Command{
		Use:   "quantization --index INDEX",
		Short: "What fewer bits cost: of the vectors and of the model",
		Long: `Quantization searches the vectors of a ranking in several encodings, each in full,
so that nothing but the encoding makes a difference, and compares nDCG@10 with 32-bit
vectors query by query. Rankings of quantized models (--quantized), which the index
must have, are compared with the full model. The waterfall adds the losses up: from
exact search over inverted lists and quantized vectors to the quantized model.

With --write the comparison is kept in the model.json of the quantized models.`,
		Example: `  trirank bench quantization --index shop.index --out report
  trirank model quantize e5-small-v2 --out e5-int8
  trirank index --catalog shop --model pretrained=e5-small-v2 --model int8=e5-int8 --out both.index
  trirank bench quantization --index both.index --system pretrained --quantized int8 --write
  trirank bench quantization --index both.index --quantized int8 --query "warm gloves"`,
		Args: cobra.NoArgs,
	}
	o.addVectors(c.Flags())
	c.Flags().StringSliceVar(&quantized, "quantized", nil, "rankings of the same index by quantized models; the first is in the waterfall")
	c.Flags().StringVar(&codes, "codes", "SQ8", "encoding of vectors in the waterfall, as FAISS writes it")
	c.Flags().StringVar(&query, "query", "", "also print the waterfall of this judged query")
	c.Flags().BoolVar(&write, "write", false, "keep what the --quantized models cost, by the judgements of the index, in their model.json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		switch {
		case write && len(quantized) == 0:
			return usageError("--write needs --quantized")
		case write && o.judgments != "":
			return usageError("--write keeps what the judgements of the index say: leave --judgments out")
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		return b.quantization(c.Context(), quantized, codes, query, write)
	}
	return c
}

func (b *benching) quantization(ctx context.Context, quantized []string, codes, query string, write bool) error {
	isQuery := func(text string) bool { return eval.Fold(text) == eval.Fold(query) }
	if err := b.openVectors(ctx, func() error {
		if query != "" && !slices.ContainsFunc(b.texts, isQuery) {
			return usageError("--query: %q is none of the judged queries", query)
		}
		if err := b.checkCodes(b.system, codes); err != nil {
			return err
		}
		for i, system := range quantized {
			if system == b.system || slices.Contains(quantized[:i], system) {
				return usageError("--quantized: %s is compared with already", system)
			}
			if err := b.checkVectors(system); err != nil {
				return err
			}
			if err := b.checkCodes(system, codes); err != nil {
				return err
			}
			full, _ := b.x.Model(b.system)
			if m, _ := b.x.Model(system); full.Precision == "int8" && m.Precision != "int8" {
				return usageError("--quantized %s is by a model in %s, and --system %s by one in int8: give them the other way round", system, m.Precision, b.system)
			}
			if write {
				if err := b.checkParent(system); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var others []*bench.Space
	for _, system := range quantized {
		s, err := b.spaceOf(ctx, system)
		if err != nil {
			return err
		}
		others = append(others, s)
	}
	var first *bench.Space
	if len(others) > 0 {
		first = others[0]
	}
	w, err := bench.NewWaterfall(ctx, b.space, first, codes, b.texts, b.judge, b.options())
	if err != nil {
		return err
	}
	var models []bench.Result
	if len(others) > 0 {
		// Before the vectors, which take longer: what is kept of it is safe then.
		var own []int
		if models, own, err = bench.Models(ctx, b.space, others, b.judge, b.options()); err != nil {
			return err
		}
		if write {
			if err := b.addEvidence(quantized, models, own); err != nil {
				return err
			}
		}
	}
	o := b.options()
	o.Factories = bench.QuantizedFactories(b.space.Rows(), b.space.Dimension)
	vectors, err := bench.Sweep(ctx, b.space, b.judge, o)
	if err != nil {
		return err
	}
	sections := []bench.Section{{
		Title: "Quantized vectors", Results: vectors,
		Text: "Every vector is compared, so that recall and nDCG@10 are lost to the encoding alone. Refine looks again at the best by finer vectors, kfactor times as many as are asked for. RaBitQ keeps one bit of a value.",
		Plots: []bench.Plot{
			{X: bench.VectorBytes, Y: "recall@10", Series: "index", Where: "k=10", LogX: true, Front: true},
			{X: bench.VectorBytes, Y: bench.Quality, Series: "index", Where: "k=100", LogX: true, Front: true},
		},
	}}
	if models != nil {
		sections = append(sections, bench.Section{
			Title: "Quantized models", Results: models,
			Text: "Exact search with vectors of each model. Recall is against the first. Where products are by one model and queries by another, an index was not built anew.",
		})
	}
	sections = append(sections, bench.Section{
		Title: "Where relevance is lost", Waterfall: w,
		Text: "Each step changes one thing more. Recall is against exact search with the full model; nDCG@10 is compared with the step before, query by query.",
	})
	for _, q := range w.Queries {
		if isQuery(q.Query) {
			printLoss(b.c.ErrOrStderr(), w, q)
		}
	}
	return b.report("Quantization", sections...)
}

// checkCodes is an error if vectors of a ranking cannot be encoded as --codes says.
func (b *benching) checkCodes(system, codes string) error {
	err := b.checkFactory(system, bench.CodedFactory(b.x.Manifest.Catalogue.Rows, codes))
	if wrong := (*faiss.FactoryError)(nil); errors.As(err, &wrong) {
		return usageError("cannot encode vectors of %s as --codes %q says: %s (Flat, SQ8, SQfp16 and PQ96 are some that there are)", system, codes, wrong.Reason)
	}
	return err
}

// checkParent is an error if the model of a ranking was not made of that of the ranking
// it is compared with.
func (b *benching) checkParent(system string) error {
	space, _ := b.x.Space(system)
	m, err := encoder.ReadModel(space.Model())
	if err != nil {
		return err
	}
	base, _ := b.x.Model(b.system)
	if err := m.CheckParent(base.Hash); err != nil {
		return usageError("--quantized %s, --system %s: %v (--system names the ranking by the full model, --quantized rankings by models that trirank model quantize made of it)", system, b.system, err)
	}
	return nil
}

// addEvidence writes what each quantized model costs into its model.json. own are the
// places of their results among those of models.
func (b *benching) addEvidence(quantized []string, models []bench.Result, own []int) error {
	base, _ := b.x.Model(b.system)
	fp32, _ := models[0].Metric(bench.Quality)
	for i, system := range quantized {
		c := models[own[i]].Against
		if c == nil {
			return fmt.Errorf("cannot say what %s costs: no query has judgements that tell", system)
		}
		space, _ := b.x.Space(system)
		info, _ := b.x.Model(system)
		catalogue := b.x.Manifest.Catalogue
		if err := encoder.AddEvidence(space.Model(), base.Hash, info.Hash, encoder.Evidence{
			Catalogue: catalogue.Name, Hash: catalogue.Hash, Metric: bench.Quality, Queries: c.Queries,
			FP32: fp32, Difference: float64(c.Difference), Low: float64(c.Low), High: float64(c.High),
		}); err != nil {
			return err
		}
		b.step(fmt.Sprintf("%s: its model.json says what it costs on %s now", space.Model(), catalogue.Name))
	}
	return nil
}

// printLoss prints the waterfall of one query.
func printLoss(w io.Writer, f *bench.Waterfall, q bench.QueryLoss) {
	fmt.Fprintf(w, "%s\n", q.Query)
	for i, s := range f.Steps {
		fmt.Fprintf(w, "  %-18s recall@10 %.2f, %s %.3f\n", s.Name, q.Recall[i], bench.Quality, float64(q.Quality[i]))
	}
}

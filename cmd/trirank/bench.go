package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trirank/trirank/bench"
	benchreport "github.com/trirank/trirank/bench/report"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/judgments"
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
  trirank bench load --index shop.index --out load
  trirank bench recall --index shop.index --out recall
  trirank bench quantization --index shop.index --quantized int8 --out quantization
  trirank bench choose --index shop.index --max-ndcg-loss 0.003 --write`,
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
	f.StringVar(&o.format, "judgments-format", "", strings.Join(judgments.All, ", ")+" (default: recognized)")
}

// check reports wrong usage of the flags of addVectors.
func (o *benchFlags) check() error { return within("budget", time.Millisecond, longest, o.budget) }

// benching is a measurement of an index.
type benching struct {
	*benchFlags
	c       *cobra.Command
	target  string // the folder that --out means
	x       *store.Index
	machine bench.Machine
	qrels   *judgments.Set
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
	if b.target, err = benchOutput.place(b.out); err != nil {
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
	src, err := judgments.Read([]string{path}, judgments.ReadOptions{Format: format})
	if err != nil {
		if b.judgments == "" {
			err = fmt.Errorf("%w; bench asks judged queries: name a table of them with --judgments", err)
		}
		return err
	}
	if b.qrels, _, err = judgments.NewSet(src, judgments.Options{Known: b.x.Has}); err != nil {
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
		Subject: fmt.Sprintf("%s, %s, %s, index %.12s", m.Catalogue.Name, plural(m.Catalogue.Rows, "product"), plural(len(b.texts), "query"), m.Hash()),
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
	if err := writeBench(b.target, r); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if !b.asJSON {
		fmt.Fprintf(b.c.OutOrStdout(), "report: %s\n", filepath.Join(b.out, "index.html"))
	}
	return nil
}

// writeBench makes all files or, if it is interrupted, none: those of two reports would
// contradict each other.
func writeBench(dir string, r *bench.Report) error {
	return atomicfile.BuildDir(dir, func(fresh string) error {
		for name, write := range map[string]func(io.Writer) error{
			"index.html":    func(w io.Writer) error { return benchreport.HTML(w, r) },
			"report.json":   func(w io.Writer) error { return writeJSON(w, r) },
			"benchmark.txt": r.Write,
		} {
			if err := atomicfile.Write(filepath.Join(fresh, name), write); err != nil {
				return err
			}
		}
		return nil
	})
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
  trirank bench recall --index shop.index --factory IVF1024,SQ8 --factory HNSW32 --k 10 --out recall`,
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

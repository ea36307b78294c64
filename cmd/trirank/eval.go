package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/judge"
	"github.com/trirank/trirank/eval/report"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/judgments"
)

// evalFlags are the flags of trirank eval.
type evalFlags struct {
	index, out, target           string
	judgments, added             []string
	prefer                       string
	runs, poolRuns               []string
	formats                      judgments.ReadOptions
	onFault, split               string
	metrics, poolMetrics         []string
	baseline, candidate          string
	systems, fields              []string
	gains, relevant              string
	fusions, models, bleve       []string
	tune, writeFusion, printJSON bool
	options                      eval.Options
	device                       store.Device
}

func newEvalCommand() *cobra.Command {
	var o evalFlags
	c := &cobra.Command{
		Use:   "eval {--index INDEX | --run NAME=FILE ...} --out REPORT_DIR",
		Short: "Tell which ranking is better, by how much, and whether to believe it",
		Long: `Eval asks all rankings of an index every judged query and writes a report to
REPORT_DIR: index.html to read, report.json for machines, per_query.csv, tables
for papers and pull requests (table.tex, table.md), lines for benchstat
(benchmark.txt), what to judge next (unjudged.csv), and the rankings themselves
(runs/, pool/, qrels.trec, queries.tsv), which trec_eval and its kin read.

There are two tasks: search the full catalogue, and rank each query's judged
products (the pool). Differences are tested query by query, by a randomisation
test and the bootstrap, and corrected for the number of pairs.

Judgements are those of the index, or --judgments FILE: tables with the columns
query, product_id and label, TREC qrels, BEIR, exports of Quepid, RRE and
OpenSearch's Search Relevance Workbench. Where they have a split called test,
that is what is evaluated, unless --split says otherwise. Queries that a model
saw in training (training.json in its directory) are scored apart.

With --run, rankings made elsewhere take part, as TREC run files; without
--index they are all there is.`,
		Example: `  trirank eval --index shop.index --out report
  trirank eval --index shop.index --judgments ratings.csv --relevant E+S --out report-ratings
  trirank eval --judgments qrels.trec --run old=old.trec --run new=new.trec --out report-runs
  trirank eval --index shop.index --tune-fusion --write-fusion --out report-tuned
  trirank eval diff report-monday report --fail-if 'ndcg@10 drop > 0.01'`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&o.index, "index", "", "index directory")
	f.Var(&o.device, "device", "where models and vector indexes run; on a GPU scores differ in the sixth digit, and so may reports")
	f.StringVar(&o.out, "out", "", "folder for the report")
	f.StringArrayVar(&o.judgments, "judgments", nil, "judgements instead of those of the index; may be repeated")
	f.StringArrayVar(&o.added, "add-judgments", nil, "judgements to add to those, such as unjudged.csv with its column label filled in; may be repeated")
	f.StringVar(&o.prefer, "prefer", "", "which label counts where --add-judgments contradicts what is there: new or old (default: that is an error)")
	f.StringVar(&o.formats.Format, "judgments-format", "", strings.Join(judgments.All, ", ")+" (default: recognized)")
	f.StringVar(&o.formats.Locale, "locale", "us", "judgements of this locale, of ESCI's Parquet files")
	f.StringVar(&o.formats.Quotes, "quotes", "", "how a quote within quotes is written in a table: double or backslash (default: recognized)")
	f.StringVar(&o.formats.Delimiter, "delimiter", "", "what parts the fields of a table of judgements, such as ; or tab (default: recognized)")
	f.StringVar(&o.formats.Queries, "queries", "", "texts of the queries, for judgements that have ids only; without --judgments, a log of queries that nobody judged: how alike the rankings are, without metrics")
	f.StringArrayVar(&o.fields, "field", nil, "FIELD=COLUMN: what a table of judgements calls query, query_id, product, label, split or judge; may be repeated")
	f.StringVar(&o.onFault, "on-fault", "fail", "what a faulty judgement or line of a run does: fail or skip")
	f.StringVar(&o.split, "split", "", "only queries of this split; all for every query (default: test where there is one)")
	f.StringArrayVar(&o.runs, "run", nil, "a ranking made elsewhere, as a TREC run: NAME=FILE; may be repeated")
	f.StringArrayVar(&o.poolRuns, "pool-run", nil, "its ranking of the judged products: NAME=FILE; may be repeated")
	f.StringVar(&o.baseline, "baseline", "", "the system to look at first against the candidate (default pretrained, or the first)")
	f.StringVar(&o.candidate, "candidate", "", "the system that wants to be better (default finetuned, or the second)")
	f.StringSliceVar(&o.systems, "systems", nil, "only these systems: each further one makes every p-value larger")
	f.StringSliceVar(&o.metrics, "metrics", nil, "metrics of the full catalogue, the first deciding, such as ndcg@10,recall[E+S]@100,rbp(0.9)")
	f.StringSliceVar(&o.poolMetrics, "pool-metrics", nil, "metrics of the judged pool, the first deciding")
	f.StringVar(&o.gains, "gains", "", "gains of the labels, such as E=1,S=0.1,C=0.01,I=0 (default: these, or the numbers themselves)")
	f.StringVar(&o.relevant, "relevant", "", "labels that count as relevant for recall and its like, such as E+S or >=2 (default E, or >=1)")
	f.StringArrayVar(&o.fusions, "fusion", nil, "judge another fusion as well: NAME=rrf(60):bm25=1,pretrained=2; may be repeated")
	f.BoolVar(&o.tune, "tune-fusion", false, "choose weights of a fusion by cross-validation")
	f.BoolVar(&o.writeFusion, "write-fusion", false, "make the chosen fusion that of the index (with --tune-fusion)")
	f.StringArrayVar(&o.models, "model", nil, "where the model of a ranking is, if it was moved: NAME=DIR; may be repeated")
	f.StringSliceVar(&o.bleve, "bleve", nil, "add rankings by bleve's own scoring: bleve-bm25, bleve-tfidf")
	f.Uint64Var(&o.options.Seed, "seed", 1, "of the random draws")
	f.IntVar(&o.options.Draws, "draws", eval.DefaultDraws, "of the bootstrap and of the randomisation test")
	f.Float64Var(&o.options.Tie, "tie", eval.DefaultTie, "differences below are called a tie")
	f.IntVar(&o.options.Shown, "shown", 200, "queries that the report shows in full, half of them gains, half losses")
	f.BoolVar(&o.printJSON, "json", false, "print report.json instead of the summary")
	c.RunE = func(c *cobra.Command, _ []string) error { return runEval(c, &o) }
	c.AddCommand(newEvalDiffCommand())
	return c
}

func (o *evalFlags) check(c *cobra.Command) error {
	switch {
	case o.index == "" && len(o.runs) == 0:
		return usageError("trirank eval needs --index or --run (see trirank eval --help)")
	case o.index == "" && len(o.judgments) == 0 && o.formats.Queries == "":
		return usageError("trirank eval needs --judgments, or --queries, where there is no index (see trirank eval --help)")
	case !slices.Contains([]string{"", "new", "old"}, o.prefer):
		return usageError("--prefer is %q, not new or old", o.prefer)
	case o.onFault != "fail" && o.onFault != "skip":
		return usageError("--on-fault is %q, not fail or skip", o.onFault)
	case o.index == "" && (o.tune || len(o.fusions) > 0 || len(o.bleve) > 0):
		return usageError("--tune-fusion, --fusion and --bleve need --index")
	case o.options.Seed == 0 || o.options.Shown < 1 || !(o.options.Tie > 0 && o.options.Tie <= 1) || o.options.Draws < 100 || o.options.Draws > 1_000_000:
		return usageError("--seed and --shown begin at 1, --tie is above 0 and at most 1, --draws within 100..1000000")
	case o.writeFusion && !o.tune:
		return usageError("--write-fusion needs --tune-fusion")
	}
	var err error
	if o.formats.Fields, err = fieldFlag(o.fields); err != nil {
		return err
	}
	for _, list := range []struct {
		from []string
		to   *[]eval.Metric
	}{{o.metrics, &o.options.Metrics}, {o.poolMetrics, &o.options.PoolMetrics}} {
		for _, text := range list.from {
			m, err := eval.ParseMetric(text)
			if err != nil {
				return usageError("%v", err)
			}
			*list.to = append(*list.to, m)
		}
	}
	return required(c, "out")
}

func runEval(c *cobra.Command, o *evalFlags) error {
	if err := o.check(c); err != nil {
		return err
	}
	if err := o.place(); err != nil {
		return err
	}
	e := &evaluating{evalFlags: o, c: c, in: eval.Input{Program: version, Name: "runs"}}
	defer e.close()
	for _, step := range []func(context.Context) error{e.openIndex, e.readJudgments, e.keepLabels, e.rank, e.readRuns, e.choose} {
		if err := step(c.Context()); err != nil {
			return err
		}
	}
	p := progress.Start(c.ErrOrStderr(), "comparing", "query", len(e.in.Qrels.Queries))
	r, values, err := eval.Evaluate(c.Context(), e.in, o.options)
	if err != nil {
		p.Stop()
		return err
	}
	p.Set(len(e.in.Qrels.Queries))
	p.Done()
	if r.Notes = append(e.notes, r.Notes...); o.tune {
		if err := e.tuneFusion(c.Context(), r); err != nil {
			return err
		}
	}
	if err := e.write(r, values); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if o.writeFusion {
		if c := r.Fusion.Comparison; c != nil && float64(c.Difference) < 0 {
			return fmt.Errorf("the fusion of %s stays as it is: the chosen one is no better on queries that took no part in choosing: %s", o.index, c.Verdict)
		}
		f, err := engine.ParseFusion(r.Fusion.Chosen)
		if err == nil {
			err = store.SetFusion(o.index, f, e.tunedOn)
		}
		if err != nil {
			return err
		}
	}
	if o.printJSON {
		return writeJSON(c.OutOrStdout(), r)
	}
	if err := report.Text(c.OutOrStdout(), r); err != nil {
		return err
	}
	if o.writeFusion {
		fmt.Fprintf(c.OutOrStdout(), "fusion of %s: %s\n", o.index, r.Fusion.Chosen)
	}
	fmt.Fprintf(c.OutOrStdout(), "report: %s\n", filepath.Join(o.out, "index.html"))
	return nil
}

// evaluating is an evaluation between its steps.
type evaluating struct {
	*evalFlags
	c       *cobra.Command
	x       *store.Index // nil without --index
	in      eval.Input
	all     *judgments.Set // of every split
	further []judge.Fusion
	notes   []string
	tunedOn []string // texts of the queries that a fusion was chosen by
}

func (e *evaluating) close() {
	if e.x != nil {
		e.x.Close()
	}
}

// tuneFusion chooses the weights of the default fusion's two systems.
func (e *evaluating) tuneFusion(ctx context.Context, r *eval.Report) error {
	var models []string
	for _, m := range e.x.Manifest.Models {
		models = append(models, m.System)
	}
	fusion := store.DefaultFusion(models)
	if fusion == nil {
		return usageError("--tune-fusion: the index has no model to fuse BM25 with")
	}
	var names []string
	for s := range fusion.Weights {
		names = append(names, s)
	}
	slices.Sort(names)
	seen := map[string]bool{}
	for _, t := range e.in.Training {
		for _, q := range t.Queries {
			seen[judgments.Fold(q)] = true
		}
	}
	unseen := e.all.Only(func(q *judgments.Query) bool { return !seen[judgments.Fold(q.Text)] })
	p := progress.Start(e.c.ErrOrStderr(), "tuning the fusion", "query", len(unseen.Queries))
	o, err := e.options.WithDefaults(unseen.Scale)
	if err == nil {
		dev := eval.DevQueries(unseen)
		for _, q := range unseen.Only(dev).Queries {
			e.tunedOn = append(e.tunedOn, q.Text)
		}
		r.Fusion, err = judge.Tune(ctx, e.x.Engine, unseen, dev, judge.Settings(names[0], names[1]), o.Metrics[0], o, p.Set)
	}
	if err != nil {
		p.Stop()
		return err
	}
	p.Done()
	return nil
}

// write writes all files of a report aside and puts them in their place.
func (e *evaluating) write(r *eval.Report, values []eval.Values) error {
	var rows []report.Row
	for _, v := range values {
		for _, row := range v.Rows {
			out := report.Row{Task: v.Task, System: v.System}
			for _, x := range row {
				out.Values = append(out.Values, eval.Number(x))
			}
			rows = append(rows, out)
		}
	}
	r.ValuesSHA256 = eval.HashValues(values)
	if err := e.keepLabels(e.c.Context()); err != nil { // looked at again: an evaluation takes long
		return err
	}
	return atomicfile.BuildDir(e.target, func(fresh string) error {
		if err := e.writeTREC(fresh, r); err != nil {
			return err
		}
		for name, write := range map[string]func(w io.Writer) error{
			"index.html":    func(w io.Writer) error { return report.HTML(w, r) },
			"per_query.csv": func(w io.Writer) error { return eval.WriteValues(w, values) },
			"table.md":      func(w io.Writer) error { return report.Markdown(w, r) },
			"table.tex":     func(w io.Writer) error { return report.LaTeX(w, r) },
			"benchmark.txt": func(w io.Writer) error { return report.Bench(w, r, rows) },
			unjudgedFile:    func(w io.Writer) error { return eval.WriteUnjudged(w, e.in) },
		} {
			if err := atomicfile.Write(filepath.Join(fresh, name), write); err != nil {
				return err
			}
		}
		// What somebody changes or adds later is told from it by this list.
		files, err := checksum.OfTree(fresh)
		if err != nil {
			return err
		}
		return checksum.WriteJSON(filepath.Join(fresh, reportFile), reportDocument{r, files})
	})
}

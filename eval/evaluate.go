package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// Input is what an evaluation looks at.
type Input struct {
	Name    string // of the catalogue, or whatever the reader knows the data by
	Program string // version
	Index   *IndexInfo
	// Qrels are the queries and what is judged for them. Of queries that nobody judged
	// (a Count of 0), or found nothing worth a gain for, Evaluate says how alike the rankings are, without metrics.
	Qrels  *judgments.Set
	Faults faults.List // of the judgements
	Split  string      // the part of the judgements that Qrels are, if any
	// Full are the systems' rankings of the whole catalogue, and Pool their
	// rankings of each query's judged products, of the same systems in the same
	// order; in Pool a nil stands for a system that has none. Either may be empty.
	// All are sorted (Run.Sort).
	Full, Pool []*Run
	// Baseline and Candidate, if given, are the systems to look into first.
	Baseline, Candidate string
	// Models holds the hash of the model of a system that has one.
	Models map[string]string
	// Products is the size of the catalogue, 0 if unknown, and Product finds one
	// product of it; nil if products are not at hand.
	Products int
	Product  func(id string) (catalog.Product, bool)
	// Training holds, by system, what its model saw in training.
	Training map[string]*Training
	// Spaces holds, by system, the vectors of its model.
	Spaces map[string]Space
}

// Values are the metrics of one system for each query, for tables by query.
type Values struct {
	Task, System string
	Metrics      []Metric
	Queries      []judgments.Query
	// Rows holds the metrics of each query; NaN where one does not exist.
	Rows [][]float64
}

// evaluation is an evaluation at work.
type evaluation struct {
	Input
	options Options
	report  *Report
	systems []string
	// unmeasured says why there is nothing to measure by, empty where there is.
	unmeasured string
	// unseen and seen are the queries apart: main results are of the unseen.
	unseen, seen *judgments.Set
	full, pool   *table // of unseen queries; nil without runs
}

// Evaluate compares the systems of in.
func Evaluate(ctx context.Context, in Input, o Options) (*Report, []Values, error) {
	e := &evaluation{Input: in}
	if err := e.check(); err != nil {
		return nil, nil, fmt.Errorf("cannot evaluate: %w", err)
	}
	var err error
	if e.options, err = o.WithDefaults(in.Qrels.Scale); err != nil {
		return nil, nil, fmt.Errorf("cannot evaluate: %w", err)
	}
	switch {
	case in.Qrels.Count == 0:
		e.unmeasured = "Nobody judged these queries"
	case slices.Max(e.options.Tables[0].Gains) == 0:
		e.unmeasured = "No label has a gain, all are " + string(in.Qrels.Scale.Levels[0].Label)
	}
	e.report = &Report{Format: ReportFormat, Program: in.Program, Name: in.Name, Index: in.Index, Verdicts: []string{}, Queries: []QueryReport{}}
	steps := []func(context.Context) error{
		e.describe, e.ties, e.apart, e.measure, e.leakage, e.verdicts, e.queries,
		e.movements, e.segments, e.agreement, e.popularity, e.drift,
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if err := step(ctx); err != nil {
			return nil, nil, fmt.Errorf("cannot evaluate: %w", err)
		}
	}
	return e.report, e.values(), nil
}

func (e *evaluation) check() error {
	runs := e.Full
	if len(runs) == 0 {
		runs = e.Pool
	}
	switch {
	case e.Qrels == nil || len(e.Qrels.Queries) == 0:
		return errors.New("there are no queries")
	case len(runs) == 0:
		return errors.New("there are no rankings")
	}
	for i, r := range runs {
		if r == nil {
			return errors.New("a system has no ranking at all")
		}
		if slices.Contains(e.systems, r.System) || r.System == "" {
			return fmt.Errorf("system name %q is empty or given twice", r.System)
		}
		e.systems = append(e.systems, r.System)
		if len(e.Full) > 0 && len(e.Pool) > 0 && (len(e.Pool) != len(e.Full) || e.Pool[i] != nil && e.Pool[i].System != r.System) {
			return errors.New("full catalogue and judged pool are not of the same systems")
		}
	}
	for _, name := range []string{e.Baseline, e.Candidate} {
		if name != "" && !slices.Contains(e.systems, name) {
			return fmt.Errorf("there is no system %q (there are %s)", name, strings.Join(e.systems, ", "))
		}
	}
	for _, r := range slices.Concat(e.Full, e.Pool) {
		if r == nil {
			continue
		}
		for _, q := range e.Qrels.Queries {
			for _, h := range r.Hits[q.ID] {
				if math.IsNaN(h.Score) || math.IsInf(h.Score, 0) { // it has no place in a histogram, nor in JSON
					return fmt.Errorf("run %s, query %.80q: the score of product %.80q is not a finite number", r.System, q.ID, h.Product)
				}
			}
		}
	}
	return nil
}

// describe records what is evaluated.
func (e *evaluation) describe(context.Context) error {
	r, o, q := e.report, e.options, e.Qrels
	r.Judgments = JudgmentsInfo{Queries: len(q.Queries), Count: q.Count, Levels: []LevelInfo{}, Faults: e.Faults}
	r.Options = OptionsInfo{Seed: o.Seed, Draws: o.Draws, Confidence: confidence, Tie: o.Tie, Split: e.Split}
	if e.unmeasured != "" {
		e.systemsOf()
		return nil
	}
	r.Judgments.Hash, r.Judgments.Scale = q.Hash(), q.Scale.Name
	relevant, err := o.relevant(q.Scale)
	if err != nil {
		return err
	}
	if n := len(o.Tables[0].Gains); n != len(q.Scale.Levels) {
		return fmt.Errorf("gain table %q has %d gains for a scale of %d levels", o.Tables[0].Name, n, len(q.Scale.Levels))
	}
	bands, of := q.Scale.Bands(mostBands)
	r.Judgments.Levels = make([]LevelInfo, len(bands))
	for i := range q.Scale.Levels {
		l := &r.Judgments.Levels[of[i]]
		l.Label, l.Gain, l.Relevant = bands[of[i]], o.Tables[0].Gains[i], relevant[i]
	}
	for _, query := range q.Queries {
		for _, l := range query.Levels {
			r.Judgments.Levels[of[l]].Count++
		}
	}
	if o.Relevant == "" {
		greatest := q.Scale.Levels[len(q.Scale.Levels)-1]
		r.Notes = append(r.Notes, fmt.Sprintf("No label reaches 1 (the greatest is %s), so none counts as relevant: recall and the other metrics that count relevant products are left out. Say which labels are relevant, such as --relevant '>=%.2g'.",
			greatest.Label, greatest.Grade/2))
	}
	r.Options.Gains, r.Options.Relevant = o.Tables, o.Relevant
	if len(e.Full) > 0 {
		r.Options.Metrics = texts(o.Metrics)
	}
	if len(e.Pool) > 0 {
		r.Options.PoolMetrics = texts(o.PoolMetrics)
	}
	e.systemsOf()
	if e.Faults.Count > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("Faulty judgements that were left out: %d.", e.Faults.Count))
	}
	return nil
}

// systemsOf records the systems, and which two to look into first.
func (e *evaluation) systemsOf() {
	r, runs := e.report, e.Full
	if len(runs) == 0 {
		runs = e.Pool
	}
	for _, run := range runs {
		r.Systems = append(r.Systems, SystemInfo{Name: run.System, Kind: run.Kind, Detail: run.Detail, Model: e.Models[run.System]})
		if run.Kind == "lexical" && r.Control == "" {
			r.Control = run.System
		}
	}
	r.Baseline, r.Candidate = e.pair()
	for i, a := range r.Systems {
		for _, b := range r.Systems[:i] {
			if a.Model != "" && a.Model == b.Model {
				r.Notes = append(r.Notes, fmt.Sprintf("%s and %s are the same model.", b.Name, a.Name))
			}
		}
	}
}

func texts(metrics []Metric) (out []string) {
	for _, m := range metrics {
		out = append(out, m.String())
	}
	return out
}

// pair chooses the two systems to look into first: pretrained and fine-tuned if
// they are there, else the first two.
func (e *evaluation) pair() (baseline, candidate string) {
	has := func(s string) bool { return slices.Contains(e.systems, s) }
	other := func(s string) string {
		return e.systems[slices.IndexFunc(e.systems, func(x string) bool { return x != s })]
	}
	switch {
	case len(e.systems) < 2:
		return "", ""
	case e.Baseline != "" || e.Candidate != "":
		return cmp.Or(e.Baseline, other(e.Candidate)), cmp.Or(e.Candidate, other(e.Baseline))
	case has("pretrained") && has("finetuned"):
		return "pretrained", "finetuned"
	}
	return e.systems[0], e.systems[1]
}

// apart parts the queries that some model saw in training from the others.
func (e *evaluation) apart(context.Context) error {
	if e.unmeasured != "" {
		e.unseen, e.seen = e.Qrels, &judgments.Set{Scale: e.Qrels.Scale}
		return nil
	}
	seen := map[string]bool{}
	for _, t := range e.Training {
		for _, q := range t.Queries {
			seen[judgments.Fold(q)] = true
		}
	}
	e.unseen = e.Qrels.Only(func(q *judgments.Query) bool { return !seen[judgments.Fold(q.Text)] })
	e.seen = e.Qrels.Only(func(q *judgments.Query) bool { return seen[judgments.Fold(q.Text)] })
	if len(e.unseen.Queries) == 0 {
		return errors.New("every judged query was seen in training, so that nothing can be said of queries that were not (judge others, or keep some from training)")
	}
	return nil
}

// measure computes the metrics of both tasks.
func (e *evaluation) measure(context.Context) (err error) {
	if e.unmeasured != "" {
		e.report.Notes = append(e.report.Notes, e.unmeasured+": this says how alike the rankings are, not which is better.")
		if len(e.Full) > 0 {
			missing, noHits := e.unanswered(e.unseen, e.Full)
			e.noteUnanswered(FullTask, len(e.unseen.Queries), missing, noHits)
		}
		return nil
	}
	var task *Task
	if len(e.Full) > 0 {
		if task, e.full, err = e.task(FullTask, e.unseen, e.Full, e.options.Metrics); err != nil {
			return err
		}
		e.report.Tasks = append(e.report.Tasks, *task)
	}
	if len(e.Pool) > 0 {
		if task, e.pool, err = e.task(PoolTask, e.unseen, e.Pool, e.options.PoolMetrics); err != nil {
			return err
		}
		e.report.Tasks = append(e.report.Tasks, *task)
	}
	for _, task := range e.report.Tasks {
		if d := task.Metrics[0]; d.Queries == 0 {
			return fmt.Errorf("no query has a value for %s: the judgements hold no relevant product", d.Title)
		}
	}
	return nil
}

// names and titles of tasks, for sentences and for headings.
var names = map[string]string{FullTask: "Full catalogue", PoolTask: "Judged pool"}

var titles = map[string]string{
	FullTask: "Full catalogue: search all products",
	PoolTask: "Judged pool: rank a query's judged products",
}

// task measures runs on queries.
func (e *evaluation) task(name string, q *judgments.Set, runs []*Run, metrics []Metric) (*Task, *table, error) {
	c, err := NewCalculator(q.Scale, metrics, e.options.Tables, e.options.Relevant)
	if err != nil {
		return nil, nil, err
	}
	t := newTable(e.systems, metrics, len(q.Queries))
	for s, run := range runs {
		t.absent[s] = run == nil
	}
	out := &Task{Name: name, Title: titles[name], Queries: len(q.Queries)}
	out.Missing, out.NoHits = e.unanswered(q, runs)
	floor := make([]float64, len(metrics))
	floors := make([]int, len(metrics))
	for i := range q.Queries {
		query := &q.Queries[i]
		for s, run := range runs {
			if run == nil {
				continue
			}
			c.Query(query, run.Hits[query.ID], t.row(i, s))
		}
		n := e.Products
		if name == PoolTask {
			n = len(query.Products)
		}
		for m, metric := range metrics {
			if v := c.targets[m].randomly(metric, n); !math.IsNaN(v) {
				floor[m] += v
				floors[m]++
			}
		}
	}
	stats := t.analyse(e.options)
	for m := range stats.metrics {
		if floors[m] > 0 {
			stats.metrics[m].Random = Number(floor[m] / float64(floors[m]))
		}
	}
	out.Metrics, out.Comparisons = stats.metrics, stats.comparisons
	if out.Comparisons == nil {
		out.Comparisons = []Comparison{}
	}
	e.noteUnanswered(name, len(q.Queries), out.Missing, out.NoHits)
	for s, run := range runs {
		if run == nil {
			e.report.Notes = append(e.report.Notes, fmt.Sprintf("%s has no ranking of the judged pool.", e.systems[s]))
		}
	}
	return out, t, nil
}

// unanswered counts, for each system, the queries that are not in its run, and those
// that it answered with nothing.
func (e *evaluation) unanswered(q *judgments.Set, runs []*Run) (missing, noHits []int) {
	missing, noHits = make([]int, len(runs)), make([]int, len(runs))
	for s, run := range runs {
		if run == nil {
			continue
		}
		for i := range q.Queries {
			switch hits, answered := run.Hits[q.Queries[i].ID]; {
			case !answered:
				missing[s]++
			case len(hits) == 0:
				noHits[s]++
			}
		}
	}
	return missing, noHits
}

// noteUnanswered says so of a task over so many queries.
func (e *evaluation) noteUnanswered(task string, queries int, missing, noHits []int) {
	for s, n := range missing {
		if n == 0 {
			continue
		}
		e.report.Notes = append(e.report.Notes, fmt.Sprintf("%s (%s): %s %s not in its run and %s as answered with nothing.", e.systems[s], task,
			english.CountOf(n, queries, "query"), english.Choose(n, "is", "are"), english.Choose(n, "counts", "count")))
	}
	for s, n := range noHits {
		if n > 0 && task == FullTask {
			e.report.Notes = append(e.report.Notes, fmt.Sprintf("%s found nothing for %s.", e.systems[s], english.CountOf(n, queries, "query")))
		}
	}
}

// deciding returns the table by which details are told, nil without judgements, and
// its runs.
func (e *evaluation) deciding() (*table, []*Run) {
	if e.full != nil || e.unmeasured != "" {
		return e.full, e.Full
	}
	return e.pool, e.Pool
}

// verdicts picks the conclusions that a reader wants first: the candidate against
// the baseline and the control, then what else is shown, by the deciding metric
// of each task.
func (e *evaluation) verdicts(context.Context) error {
	r := e.report
	for _, task := range r.Tasks {
		var first, rest []string
		for _, c := range task.Comparisons {
			if c.Metric != task.Metrics[0].Metric {
				continue
			}
			text := c.Verdict
			if len(r.Tasks) > 1 {
				text = names[task.Name] + ": " + text
			}
			about := func(a, b string) bool { return a != "" && (c.A == a && c.B == b || c.A == b && c.B == a) }
			switch {
			case about(r.Baseline, r.Candidate):
				first = slices.Insert(first, 0, text)
			case about(r.Control, r.Candidate):
				first = append(first, text)
			default:
				rest = append(rest, text)
			}
		}
		r.Verdicts = append(r.Verdicts, first...)
		r.Verdicts = append(r.Verdicts, rest...)
		e.warn(task)
	}
	return nil
}

// warn notes what weakens a task's numbers.
func (e *evaluation) warn(task Task) {
	r := e.report
	if len(task.Metrics) > 0 && task.Metrics[0].Left > 0 {
		left := task.Metrics[0].Left
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %s %s no relevant product and %s left out of %s.", names[task.Name], english.CountOf(left, task.Queries, "query"),
			english.Choose(left, "has", "have"), english.Choose(left, "is", "are"), task.Metrics[0].Title))
	}
	if task.Queries < 50 {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: with %s only large differences can be shown.", names[task.Name], queries(task.Queries)))
	}
	for _, m := range task.Metrics {
		if m.Metric != "judged@10" {
			continue
		}
		low, lowest := 1., ""
		for s, v := range m.Values {
			if float64(v.Mean) < low {
				low, lowest = float64(v.Mean), e.systems[s]
			}
		}
		if low < .9 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: only %.0f %% of the first ten hits of %s are judged; unjudged hits count as irrelevant in nDCG. %s", names[task.Name], 100*low, lowest, e.beforeBelieving(task)))
		}
	}
}

// beforeBelieving says what to look at where few hits are judged: of condensed nDCG and
// the bounds of nDCG what there is.
func (e *evaluation) beforeBelieving(task Task) string {
	condensed, bounded, measured := 0, -1, 0
	for _, m := range task.Metrics {
		switch {
		case strings.HasPrefix(m.Metric, "cndcg"):
			condensed = max(condensed, m.Queries)
		case strings.HasPrefix(m.Metric, "ndcglow"):
			bounded = max(bounded, m.Queries)
		case strings.HasPrefix(m.Metric, "ndcg@"):
			measured = max(measured, m.Queries)
		}
	}
	var compare []string
	if condensed > 0 {
		compare = append(compare, "condensed nDCG")
	}
	if bounded > 0 {
		compare = append(compare, "the bounds")
	}
	text := "Judge more of them before believing a difference."
	if compare != nil {
		text = "Compare " + strings.Join(compare, " and ") + " before believing a difference."
	}
	why := fmt.Sprintf("with %d labels, the unjudged hits of %%s could be labelled in more than %d ways", len(e.Qrels.Scale.Levels), MaxAssignments)
	switch {
	case bounded == 0:
		text += " There are no bounds: " + fmt.Sprintf(why, "each query") + "."
	case bounded > 0 && bounded < measured:
		text += fmt.Sprintf(" The bounds are of %s: ", english.CountOf(bounded, measured, "query")) + fmt.Sprintf(why, "the others") + "."
	}
	return text
}

// values returns the metrics of all queries.
func (e *evaluation) values() (out []Values) {
	for _, part := range []struct {
		task string
		t    *table
	}{{FullTask, e.full}, {PoolTask, e.pool}} {
		if part.t == nil {
			continue
		}
		for s, system := range e.systems {
			if part.t.absent[s] {
				continue
			}
			v := Values{Task: part.task, System: system, Metrics: part.t.metrics, Queries: e.unseen.Queries}
			for q := range part.t.queries {
				v.Rows = append(v.Rows, part.t.row(q, s))
			}
			out = append(out, v)
		}
	}
	return out
}

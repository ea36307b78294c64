package eval

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// Outcome is a report with its values by query: one side of a Diff.
type Outcome struct {
	Name   string // for messages: where it was read from
	Report *Report
	Values []Values
}

// DiffReport says what changed from one evaluation to another.
type DiffReport struct {
	Format int    `json:"format"`
	A      string `json:"a"`
	B      string `json:"b"`
	// Changed names what else differs: index, model, judgements, options.
	Changed []string     `json:"changed,omitempty"`
	Systems []SystemDiff `json:"systems"`
	// Missing are systems that only one side has.
	Missing []string `json:"missing,omitempty"`
	lost    []Values // of A, that B does not have
	Failed  []string `json:"failed,omitempty"` // conditions that are met, in words
	Passed  []string `json:"passed,omitempty"`
}

// SystemDiff is what changed for one system in one task.
type SystemDiff struct {
	Task    string `json:"task"`
	System  string `json:"system"`
	Queries int    `json:"queries"` // that both sides have
	// Comparisons are of the second side against the first, metric by metric.
	Comparisons []Comparison `json:"comparisons"`
}

// Condition is something that must not be, such as "ndcg@10 drop > 0.01".
type Condition struct {
	text   string
	task   string // empty: any
	system string // empty: all
	metric Metric
	limit  float64
}

var conditionSyntax = regexp.MustCompile(`^\s*(?:(full|pool):)?(?:([^\s:]+)\s+)?([^\s:]+)\s+drop\s*>\s*([0-9.]+)\s*$`)

// ParseCondition reads a condition: [full:|pool:][SYSTEM ]METRIC drop > LIMIT.
// Without a system it is meant of all, without a task of the full catalogue if
// the metric is there, else of the pool.
func ParseCondition(s string) (*Condition, error) {
	m := conditionSyntax.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("condition %.80q cannot be read (write it as: ndcg@10 drop > 0.01, or pool:finetuned ndcg drop > 0.005)", s)
	}
	metric, err := ParseMetric(m[3])
	if err != nil {
		return nil, fmt.Errorf("condition %.80q: %w", s, err)
	}
	limit, err := strconv.ParseFloat(m[4], 64)
	if err != nil {
		return nil, fmt.Errorf("condition %.80q: %q is not a number", s, m[4])
	}
	return &Condition{text: s, task: m[1], system: m[2], metric: metric, limit: limit}, nil
}

// About reports whether the condition speaks of a metric.
func (c *Condition) About(metric string) bool { return c.metric.String() == metric }

// Diff compares two evaluations of the same judgements: system by system and
// metric by metric, over the queries that both have. A condition fails if the mean
// drops by more than its limit and the drop is significant (p below .05 by the
// randomisation test): what chance explains does not fail.
func Diff(a, b Outcome, conditions []*Condition, o Options) (*DiffReport, error) {
	o, err := o.WithDefaults(ESCI())
	if err != nil {
		return nil, err
	}
	out := &DiffReport{Format: ReportFormat, A: a.Name, B: b.Name, Changed: changed(a.Report, b.Report), Systems: []SystemDiff{}}
	for _, va := range a.Values {
		i := slices.IndexFunc(b.Values, func(v Values) bool { return v.Task == va.Task && v.System == va.System })
		if i < 0 {
			out.Missing = append(out.Missing, fmt.Sprintf("%s (%s) is only in %s", va.System, va.Task, a.Name))
			out.lost = append(out.lost, va)
			continue
		}
		d, err := diffSystem(va, b.Values[i], o)
		if err != nil {
			return nil, fmt.Errorf("cannot compare %s with %s: %w", a.Name, b.Name, err)
		}
		d.decidingFirst(a.Report)
		out.Systems = append(out.Systems, *d)
	}
	for _, vb := range b.Values {
		if !slices.ContainsFunc(a.Values, func(v Values) bool { return v.Task == vb.Task && v.System == vb.System }) {
			out.Missing = append(out.Missing, fmt.Sprintf("%s (%s) is only in %s", vb.System, vb.Task, b.Name))
		}
	}
	if len(out.Systems) == 0 {
		return nil, fmt.Errorf("cannot compare %s with %s: they share no system", a.Name, b.Name)
	}
	for _, c := range conditions {
		if err := out.apply(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sha256Digits is the length of a hash in hexadecimal. The first digits of one say
// which it is; texts such as gain tables may differ at their ends only.
const sha256Digits = 64

// changed names what two reports were made from and do not share.
func changed(a, b *Report) (out []string) {
	note := func(what, x, y string) {
		if x != y {
			if len(x) == sha256Digits && len(y) == sha256Digits {
				x, y = x[:16], y[:16]
			}
			out = append(out, fmt.Sprintf("%s: %.200s, then %.200s", what, x, y))
		}
	}
	note("program", a.Program, b.Program)
	note("judgements", a.Judgments.Hash, b.Judgments.Hash)
	if a.Index != nil && b.Index != nil {
		note("index", a.Index.Hash, b.Index.Hash)
		note("catalogue", a.Index.Contents, b.Index.Contents)
	}
	for _, x := range a.Systems {
		for _, y := range b.Systems {
			if x.Name == y.Name {
				note("model of "+x.Name, x.Model, y.Model)
			}
		}
	}
	note("relevant labels", a.Options.Relevant, b.Options.Relevant)
	note("gains", fmt.Sprint(a.Options.Gains), fmt.Sprint(b.Options.Gains))
	return out
}

func diffSystem(a, b Values, o Options) (*SystemDiff, error) {
	var metrics []Metric
	var inA, inB []int
	for i, m := range a.Metrics {
		if j := slices.Index(b.Metrics, m); j >= 0 && !m.Neutral() && exists(a, i) && exists(b, j) {
			metrics, inA, inB = append(metrics, m), append(inA, i), append(inB, j)
		}
	}
	if len(metrics) == 0 {
		return nil, fmt.Errorf("%s (%s): the two share no metric", a.System, a.Task)
	}
	at := map[string]int{}
	for i, q := range b.Queries {
		at[q.ID+"\t"+q.Text] = i
	}
	var rows [][2]int
	for i, q := range a.Queries {
		if j, ok := at[q.ID+"\t"+q.Text]; ok {
			rows = append(rows, [2]int{i, j})
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s (%s): the two share no query", a.System, a.Task)
	}
	t := newTable([]string{"before", "after"}, metrics, len(rows))
	for q, r := range rows {
		for m := range metrics {
			t.row(q, 0)[m], t.row(q, 1)[m] = a.Rows[r[0]][inA[m]], b.Rows[r[1]][inB[m]]
		}
	}
	return &SystemDiff{Task: a.Task, System: a.System, Queries: len(rows), Comparisons: t.analyse(o).comparisons}, nil
}

// decidingFirst puts the metric by which r decides before the others.
func (d *SystemDiff) decidingFirst(r *Report) {
	for _, t := range r.Tasks {
		if t.Name != d.Task || len(t.Metrics) == 0 {
			continue
		}
		slices.SortStableFunc(d.Comparisons, func(x, y Comparison) int {
			return cmp.Compare(notEqual(x.Metric, t.Metrics[0].Metric), notEqual(y.Metric, t.Metrics[0].Metric))
		})
	}
}

func notEqual(a, b string) int {
	if a == b {
		return 0
	}
	return 1
}

func exists(v Values, metric int) bool {
	return slices.ContainsFunc(v.Rows, func(row []float64) bool { return !math.IsNaN(row[metric]) })
}

// apply holds a condition against the differences.
func (r *DiffReport) apply(c *Condition) error {
	find := func(task string) (met, unmet []string) {
		for _, s := range r.Systems {
			if s.Task != task || c.system != "" && s.System != c.system {
				continue
			}
			for _, d := range s.Comparisons {
				if d.Metric != c.metric.String() {
					continue
				}
				text := fmt.Sprintf("%s (%s): %s changed by %s [%s, %s], p %s", s.System, s.Task, c.metric.Title(), Signed(float64(d.Difference)), Signed(float64(d.Low)), Signed(float64(d.High)), pValue(float64(d.P)))
				if float64(d.Difference) < -c.limit && float64(d.P) < alpha {
					met = append(met, fmt.Sprintf("%s: %s", c.text, text))
				} else {
					unmet = append(unmet, fmt.Sprintf("%s: %s", c.text, text))
				}
			}
		}
		return met, unmet
	}
	tasks := []string{FullTask, PoolTask}
	if c.task != "" {
		tasks = []string{c.task}
	}
	for _, task := range tasks {
		if met, unmet := find(task); len(met)+len(unmet) > 0 {
			r.Failed, r.Passed = append(r.Failed, met...), append(r.Passed, unmet...)
			for _, v := range r.lost { // a gate must not pass because what it guards is gone
				if v.Task == task && c.system == "" {
					r.Failed = append(r.Failed, fmt.Sprintf("%s: %s (%s) is not in %s", c.text, v.System, v.Task, r.B))
				}
			}
			return nil
		}
	}
	return errors.New("condition " + strconv.Quote(c.text) + " names a system or metric that the two evaluations do not share")
}

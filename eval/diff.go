package eval

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/judgments"
)

// Outcome is a report with its values by query: one side of a Diff. Values that
// were read from a file should be held against the report first (CheckValues).
type Outcome struct {
	Name   string // for messages: where it was read from
	Report *Report
	Values []Values
}

// DiffOptions are the options of Diff; the zero value will do.
type DiffOptions struct {
	// Conditions say what must not be. Each is tested by itself: p-values are not
	// corrected for their number.
	Conditions []*Condition
	// AllowMissing holds conditions against what is left where the second side
	// lacks queries, systems or metrics of the first. Without it they fail.
	AllowMissing bool
	// AllowChanged holds conditions though judgements, gains or relevant labels
	// are not the same. Without it they fail.
	AllowChanged bool
	// Statistics are of the tests: Seed, Draws and Tie count.
	Statistics Options
}

// DiffReport says what changed from one evaluation to another.
type DiffReport struct {
	Format int    `json:"format"`
	A      string `json:"a"`
	B      string `json:"b"`
	// Unlike names what makes the numbers of the two mean different things:
	// judgements, gains, relevant labels.
	Unlike []string `json:"not_like_for_like,omitempty"`
	// Changed names what else differs, and may be the reason for a difference:
	// program, index, model.
	Changed []string     `json:"changed,omitempty"`
	Systems []SystemDiff `json:"systems"`
	// Missing are systems that only one side has.
	Missing []string `json:"missing,omitempty"`
	// Failed are the conditions that are met or cannot be held, in words;
	// Regressed are those of them that are met: the second side is worse.
	Failed    []string `json:"failed,omitempty"`
	Regressed []string `json:"regressed,omitempty"`
	Passed    []string `json:"passed,omitempty"`

	unlike []string // what Unlike is about, in a word each
}

// SystemDiff is what changed for one system in one task.
type SystemDiff struct {
	Task    string `json:"task"`
	System  string `json:"system"`
	Queries int    `json:"queries"` // that both sides have
	OnlyInA int    `json:"queries_only_in_a"`
	OnlyInB int    `json:"queries_only_in_b"`
	// ByID counts the queries of both that were paired by id alone, since one side
	// has no text for them, ByText those paired by text alone, since their ids
	// differ.
	ByID   int `json:"paired_by_id,omitempty"`
	ByText int `json:"paired_by_text,omitempty"`
	// Comparisons are of the second side against the first, metric by metric.
	Comparisons []MetricDiff `json:"comparisons"`
}

// MetricDiff is what changed by one metric.
type MetricDiff struct {
	Comparison
	Before Number `json:"before"` // means over the queries of both
	After  Number `json:"after"`
	// Shown are the deciding metric of a task and those of which a condition
	// speaks: what a summary has.
	Shown bool `json:"shown"`
}

// Condition is something that must not be, such as "ndcg@10 drop > 0.01".
type Condition struct {
	text    string
	task    string // empty: any
	system  string // empty: all
	metric  Metric
	limit   float64
	percent bool // the limit is of the first side's mean
}

var conditionSyntax = regexp.MustCompile(`^\s*(?:(full|pool):)?(?:([^\s:]+)\s+)?([^\s:]+)\s+drop\s*>\s*([0-9.]+)\s*(%?)\s*$`)

// ParseCondition reads a condition: [full:|pool:][SYSTEM ]METRIC drop > LIMIT.
// A limit such as 2% is of the first side's mean. Without a system the condition
// is meant of all, without a task of the full catalogue if the metric is there,
// else of the pool.
func ParseCondition(s string) (*Condition, error) {
	m := conditionSyntax.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("condition %.80q cannot be read (write it as: ndcg@10 drop > 0.01, ndcg@10 drop > 2%%, or pool:finetuned ndcg drop > 0.005)", s)
	}
	metric, err := ParseMetric(m[3])
	if err != nil {
		return nil, fmt.Errorf("condition %.80q: %w", s, err)
	}
	limit, err := strconv.ParseFloat(m[4], 64)
	if err != nil {
		return nil, fmt.Errorf("condition %.80q: %q is not a number", s, m[4])
	}
	if m[5] != "" && limit >= 100 {
		return nil, fmt.Errorf("condition %.80q: no mean falls by more than all of it", s)
	}
	return &Condition{text: s, task: m[1], system: m[2], metric: metric, limit: limit, percent: m[5] != ""}, nil
}

// ConditionError says that a condition speaks of something that is not there: it is
// written wrongly, whatever the numbers are.
type ConditionError struct{ text string }

func (e *ConditionError) Error() string { return e.text }

// About reports whether the condition speaks of a metric.
func (c *Condition) About(metric string) bool { return c.metric.String() == metric }

// Diff compares two evaluations of the same judgements: system by system and
// metric by metric, over the queries that both have. A condition fails if the mean
// drops by more than its limit and the drop is significant (p below .05 by the
// randomisation test): what chance explains does not fail. It fails as well where
// it cannot be held: what it guards is gone, or measured by another rule.
func Diff(a, b Outcome, options DiffOptions) (*DiffReport, error) {
	o, err := options.Statistics.WithDefaults(judgments.ESCI())
	if err != nil {
		return nil, err
	}
	out := &DiffReport{Format: ReportFormat, A: a.Name, B: b.Name, Systems: []SystemDiff{}}
	out.inputs(a.Report, b.Report)
	for _, va := range a.Values {
		i := slices.IndexFunc(b.Values, func(v Values) bool { return v.Task == va.Task && v.System == va.System })
		if i < 0 {
			out.Missing = append(out.Missing, fmt.Sprintf("%s (%s) is only in %s", va.System, va.Task, a.Name))
			continue
		}
		d, err := diffSystem(va, b.Values[i], o)
		if err != nil {
			return nil, fmt.Errorf("cannot compare %s with %s: %w", a.Name, b.Name, err)
		}
		d.decidingFirst(a.Report)
		for i := range d.Comparisons {
			m := &d.Comparisons[i]
			m.Shown = i == 0 || slices.ContainsFunc(options.Conditions, func(c *Condition) bool { return c.About(m.Metric) })
		}
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
	for _, c := range options.Conditions {
		if err := out.apply(c, a.Values, options); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Err is nil if no condition failed. It says how many did; Failed tells of each.
func (r *DiffReport) Err() error {
	if len(r.Failed) == 0 {
		return nil
	}
	says := "cannot be held against"
	if len(r.Regressed) > 0 {
		says = "is worse than"
	}
	return fmt.Errorf("%s %s %s: %s failed", r.B, says, r.A, english.CountOf(len(r.Failed), len(r.Failed)+len(r.Passed), "check"))
}

// shortHash is the first digits of a SHA-256 in hexadecimal, which say which it is.
// Other texts, which may differ at their ends only, stay as they are.
func shortHash(s string) string {
	if b, err := hex.DecodeString(s); err == nil && len(b) == sha256.Size {
		return s[:16]
	}
	return s
}

// inputs names what two reports were made from and do not share.
func (r *DiffReport) inputs(a, b *Report) {
	changed := func(what, x, y string) string {
		return fmt.Sprintf("%s: %s, then %s", what, cmp.Or(shortHash(x), "none"), cmp.Or(shortHash(y), "none"))
	}
	unlike := func(kind, what, x, y string) {
		if x != y {
			r.Unlike = append(r.Unlike, changed(what, x, y))
			if !slices.Contains(r.unlike, kind) {
				r.unlike = append(r.unlike, kind)
			}
		}
	}
	note := func(what, x, y string) {
		if x != y {
			r.Changed = append(r.Changed, changed(what, x, y))
		}
	}
	if a.Format != b.Format {
		r.Unlike = append(r.Unlike, fmt.Sprintf("judgements: the reports are of formats %d and %d, which hash judgements, models and indexes otherwise, so it cannot be told whether these are the same; queries are paired by their texts", a.Format, b.Format))
		r.unlike = append(r.unlike, "judgements")
	} else {
		unlike("judgements", "judgements", a.Judgments.Hash, b.Judgments.Hash)
	}
	unlike("relevant labels", "relevant labels", a.Options.Relevant, b.Options.Relevant)
	first := func(r *Report) (name, gains string) {
		if len(r.Options.Gains) == 0 {
			return "", ""
		}
		t := r.Options.Gains[0]
		return t.Name, t.Name + ": " + r.spell(t)
	}
	name, x := first(a)
	other, y := first(b)
	unlike("gains", "gains", x, y)
	// Further tables are of metrics that name them.
	for _, t := range a.Options.Gains {
		for _, u := range b.Options.Gains {
			if t.Name == u.Name && (t.Name != name || t.Name != other) {
				unlike("gains", "gains "+t.Name, a.spell(t), b.spell(u))
			}
		}
	}
	note("program", a.Program, b.Program)
	if a.Format != b.Format {
		return
	}
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
}

// spell writes a gain table, worst label first: "I 0, C 0.01, S 0.1, E 1".
func (r *Report) spell(t judgments.GainTable) string {
	if n := len(t.Gains); n > len(r.Judgments.Levels) { // the levels are shown in bands
		return fmt.Sprintf("%d gains of hash %.16s", n, fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(t.Gains)))))
	}
	var parts []string
	for i, g := range t.Gains {
		label := fmt.Sprintf("level %d", i)
		if i < len(r.Judgments.Levels) {
			label = r.Judgments.Levels[i].Label
		}
		parts = append(parts, label+" "+strconv.FormatFloat(g, 'g', -1, 64))
	}
	return strings.Join(parts, ", ")
}

// pairing says which rows of two lists of queries are the same query.
type pairing struct {
	rows         [][2]int
	byID, byText int
	otherTexts   int // ids that both have, for different texts
}

// pair finds the queries that two lists share: those of one text, since a query is
// its text whatever its id, and those of one id where a side has no text. Where a list
// has a text twice, as reports of older versions may, the id has to be the same too.
func pair(a, b []judgments.Query) (p pairing) {
	times := func(queries []judgments.Query) map[string]int {
		n := map[string]int{}
		for _, q := range queries {
			n[judgments.Normalize(q.Text)]++
		}
		return n
	}
	inA, inB := times(a), times(b)
	ids, texts := map[string]int{}, map[string]int{}
	for j, q := range b {
		ids[q.ID], texts[judgments.Normalize(q.Text)] = j, j
	}
	free := make([]bool, len(b)) // not paired yet
	for j := range free {
		free[j] = true
	}
	for i, q := range a {
		text := judgments.Normalize(q.Text)
		j, sameID := ids[q.ID]
		other := sameID && text != "" && b[j].Text != "" && text != judgments.Normalize(b[j].Text)
		if other {
			p.otherTexts++
		}
		switch {
		case text != "" && inA[text] == 1 && inB[text] == 1:
			if j = texts[text]; b[j].ID != q.ID {
				p.byText++
			}
		case !sameID || other:
			continue
		case q.Text != b[j].Text: // one has none
			p.byID++
		}
		if free[j] {
			free[j] = false
			p.rows = append(p.rows, [2]int{i, j})
		}
	}
	return p
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
	p := pair(a.Queries, b.Queries)
	if len(p.rows) == 0 {
		why := ""
		if p.otherTexts > 0 {
			why = " (the same ids have other texts)"
		}
		return nil, fmt.Errorf("%s (%s): the two share no query%s", a.System, a.Task, why)
	}
	t := newTable([]string{"before", "after"}, metrics, len(p.rows))
	for q, r := range p.rows {
		for m := range metrics {
			t.row(q, 0)[m], t.row(q, 1)[m] = a.Rows[r[0]][inA[m]], b.Rows[r[1]][inB[m]]
		}
	}
	d := &SystemDiff{Task: a.Task, System: a.System, Queries: len(p.rows), OnlyInA: len(a.Queries) - len(p.rows), OnlyInB: len(b.Queries) - len(p.rows), ByID: p.byID, ByText: p.byText}
	s := t.analyse(o)
	for i, c := range s.comparisons { // one a metric, in their order
		d.Comparisons = append(d.Comparisons, MetricDiff{Comparison: c, Before: s.metrics[i].Values[0].Mean, After: s.metrics[i].Values[1].Mean})
	}
	return d, nil
}

// decidingFirst puts the metric by which r decides before the others.
func (d *SystemDiff) decidingFirst(r *Report) {
	for _, t := range r.Tasks {
		if t.Name != d.Task || len(t.Metrics) == 0 {
			continue
		}
		slices.SortStableFunc(d.Comparisons, func(x, y MetricDiff) int {
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

// guards finds what a condition speaks of among the values of the first side.
func (c *Condition) guards(a []Values) (found []Values) {
	tasks := []string{FullTask, PoolTask}
	if c.task != "" {
		tasks = []string{c.task}
	}
	for _, task := range tasks {
		for _, v := range a {
			i := slices.Index(v.Metrics, c.metric)
			if v.Task == task && (c.system == "" || v.System == c.system) && i >= 0 && !c.metric.Neutral() && exists(v, i) {
				found = append(found, v)
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// apply holds a condition against the differences.
func (r *DiffReport) apply(c *Condition, a []Values, o DiffOptions) error {
	guarded := c.guards(a)
	if guarded == nil {
		var systems []string
		for _, v := range a {
			if !slices.Contains(systems, v.System) {
				systems = append(systems, v.System)
			}
		}
		return &ConditionError{fmt.Sprintf("condition %q names a system or metric that the two evaluations do not share (systems of %s: %s)", c.text, r.A, strings.Join(systems, ", "))}
	}
	if len(r.unlike) > 0 && !o.AllowChanged {
		r.Failed = append(r.Failed, fmt.Sprintf("%s: cannot be held, since the two are not like for like: other %s (--allow-changed holds it all the same)", c.text, strings.Join(r.unlike, ", ")))
		return nil
	}
	for _, v := range guarded {
		r.hold(c, v, o)
	}
	return nil
}

// hold holds a condition against what one system is now. A gate must not pass
// because what it guards is gone.
func (r *DiffReport) hold(c *Condition, was Values, o DiffOptions) {
	where := fmt.Sprintf("%s: %s (%s)", c.text, was.System, was.Task)
	gone := func(what string) {
		if o.AllowMissing {
			r.Passed = append(r.Passed, fmt.Sprintf("%s%s is not in %s, as --allow-missing allows", where, what, r.B))
			return
		}
		r.Failed = append(r.Failed, fmt.Sprintf("%s%s is not in %s", where, what, r.B))
	}
	i := slices.IndexFunc(r.Systems, func(s SystemDiff) bool { return s.Task == was.Task && s.System == was.System })
	if i < 0 {
		gone("")
		return
	}
	s := &r.Systems[i]
	k := slices.IndexFunc(s.Comparisons, func(d MetricDiff) bool { return d.Metric == c.metric.String() })
	if k < 0 {
		gone(": " + c.metric.Title())
		return
	}
	d := &s.Comparisons[k]
	if !d.Difference.Exists() {
		r.Failed = append(r.Failed, fmt.Sprintf("%s: cannot be held, since no query has %s on both sides", where, c.metric.Title()))
		return
	}
	limit, share := c.limit, ""
	if c.percent {
		limit = c.limit / 100 * float64(d.Before)
		if d.Before != 0 {
			share = fmt.Sprintf(" (%+.1f %% of %s)", 100*float64(d.Difference/d.Before), Short(float64(d.Before)))
		}
	}
	text := fmt.Sprintf("%s: %s changed by %s%s [%s, %s], p %s", where, c.metric.Title(), Signed(float64(d.Difference)), share, Signed(float64(d.Low)), Signed(float64(d.High)), pValue(float64(d.P)))
	worse := float64(d.Difference) < -limit && float64(d.P) < alpha
	if worse {
		r.Failed, r.Regressed = append(r.Failed, text), append(r.Regressed, text)
	}
	switch {
	case s.OnlyInA > 0 && !o.AllowMissing:
		r.Failed = append(r.Failed, fmt.Sprintf("%s: %s %s not in %s (--allow-missing holds it over the others)", where, english.CountOf(s.OnlyInA, s.Queries+s.OnlyInA, "query"), english.Choose(s.OnlyInA, "is", "are"), r.B))
	case !worse:
		r.Passed = append(r.Passed, text)
	}
}

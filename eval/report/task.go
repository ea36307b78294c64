package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/eval"
)

// taskView is a task, prepared.
type taskView struct {
	*eval.Task
	ID       string
	Systems  []eval.SystemInfo
	Missing  []string // what systems left unanswered
	NoHits   []string // what they answered with nothing
	Answered bool     // every system answered every query with something
	Main     *metricTable
	Gains    *metricTable
	Orders   []order
	Unjudged *metricTable
	Bounds   []bounds
	Deciding string
	Forest   *forest
	Compared []compared
	Others   []comparedBy
	Level    string // of intervals
}

type metricTable struct {
	Caption string
	Columns []column
	Rows    []metricRow
	Random  []string // nil if no column has a floor
}

type column struct {
	Title, Gloss, ID, Queries string
	Deciding                  bool
}

type metricRow struct {
	System string
	Cells  []cell
}

type cell struct {
	Mean, Interval string
	Best           bool
}

type comparedBy struct {
	Title string
	Rows  []compared
}

// order tells whether a gain table changes who is first.
type order struct {
	Metric, Table, Gains, Order string
	Changes                     bool
}

func newTask(r *eval.Report, t *eval.Task, id string) taskView {
	v := taskView{Task: t, ID: id, Systems: r.Systems, Level: confidence(r), Deciding: title(deciding(t))}
	for i, n := range t.Missing {
		if n > 0 && i < len(r.Systems) {
			v.Missing = append(v.Missing, fmt.Sprintf("%s left %s unanswered", clean(r.Systems[i].Name), plural(n, "query", "queries")))
		}
	}
	for i, n := range t.NoHits {
		if n > 0 && i < len(r.Systems) {
			v.NoHits = append(v.NoHits, fmt.Sprintf("%s found nothing for %s", clean(r.Systems[i].Name), plural(n, "query", "queries")))
		}
	}
	// Earlier reports did not count what was answered with nothing.
	v.Answered = len(t.NoHits) == len(r.Systems) && len(t.Missing) == len(r.Systems) && v.Missing == nil && v.NoHits == nil
	var plain, gains, unjudged []*eval.MetricInfo
	variants := map[string]bool{}
	for i := range t.Metrics {
		m := &t.Metrics[i]
		known, _ := parsed(m.Metric)
		switch part(known) {
		case gainsPart:
			gains = append(gains, m)
			variants[base(known)] = true
		case unjudgedPart:
			unjudged = append(unjudged, m)
		default:
			plain = append(plain, m)
		}
	}
	v.Main = newMetricTable(r, t, plain, "Mean of each metric with its "+v.Level+" interval, systems by metrics")
	if len(gains) > 0 {
		// The metrics that have variants stand before them.
		var columns []*eval.MetricInfo
		for i := range t.Metrics {
			m := &t.Metrics[i]
			if !variants[m.Metric] {
				continue
			}
			columns = append(columns, m)
			v.order(r, m, m)
			for _, g := range gains {
				if known, _ := parsed(g.Metric); base(known) == m.Metric {
					columns = append(columns, g)
					v.order(r, m, g)
				}
			}
		}
		for _, g := range gains {
			if !slices.Contains(columns, g) {
				columns = append(columns, g)
				v.order(r, nil, g)
			}
		}
		if len(v.Orders) < 2 { // nothing to compare
			v.Orders = nil
		}
		v.Gains = newMetricTable(r, t, columns, "The same metric under other gains, systems by gain tables")
	}
	if len(unjudged) > 0 {
		v.Unjudged = newMetricTable(r, t, unjudged, "What the unjudged hits might change, systems by metrics")
		v.Bounds = newBounds(r, t)
	}
	for i := range t.Metrics {
		m := &t.Metrics[i]
		var rows []compared
		for _, c := range comparisons(t, m.Metric) {
			rows = append(rows, newCompared(&c))
		}
		if i == 0 {
			v.Compared, v.Forest = rows, newForest(r, rows)
		} else if len(rows) > 0 {
			v.Others = append(v.Others, comparedBy{titleOf(m), rows})
		}
	}
	return v
}

// order adds the order of the systems by a gain table, if any query has the metric.
func (v *taskView) order(r *eval.Report, plain, m *eval.MetricInfo) {
	if slices.ContainsFunc(m.Values, func(x eval.Value) bool { return x.Mean.Exists() }) {
		v.Orders = append(v.Orders, newOrder(r, plain, m))
	}
}

func newMetricTable(r *eval.Report, t *eval.Task, metrics []*eval.MetricInfo, caption string) *metricTable {
	if len(metrics) == 0 {
		return nil
	}
	p := &metricTable{Caption: caption, Rows: make([]metricRow, len(r.Systems))}
	for i, s := range r.Systems {
		p.Rows[i].System = s.Name
	}
	floors := false
	for _, m := range metrics {
		queries := count(m.Queries)
		if m.Left > 0 {
			queries += " (" + count(m.Left) + " left out)"
		}
		p.Columns = append(p.Columns, column{titleOf(m), gloss(m.Metric), metricID(m.Metric), queries, m.Metric == deciding(t)})
		marks := best(m)
		for i := range r.Systems {
			v := at(m.Values, i)
			p.Rows[i].Cells = append(p.Rows[i].Cells, cell{value(v.Mean), interval(v.Low, v.High), i < len(marks) && marks[i]})
		}
		p.Random = append(p.Random, floor(m.Random))
		floors = floors || m.Random.Exists()
	}
	if !floors {
		p.Random = nil
	}
	return p
}

// floor prints what a random order reaches, which is little but not nothing.
func floor(x eval.Number) string {
	if x > 0 && x < .0005 {
		return "< .001"
	}
	return value(x)
}

// ranked orders the systems by a metric; equal ones keep the report's order.
func ranked(r *eval.Report, m *eval.MetricInfo) string {
	at := make([]int, min(len(r.Systems), len(m.Values)))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int {
		switch x, y := m.Values[a].Mean, m.Values[b].Mean; {
		case x > y || x.Exists() && !y.Exists():
			return -1
		case x < y || !x.Exists() && y.Exists():
			return 1
		}
		return 0
	})
	var names []string
	for _, i := range at {
		names = append(names, clean(r.Systems[i].Name))
	}
	return strings.Join(names, " › ")
}

func newOrder(r *eval.Report, plain, m *eval.MetricInfo) order {
	known, _ := parsed(m.Metric)
	o := order{Metric: titleOf(m), Table: known.Gains, Order: ranked(r, m)}
	if o.Table == "" && len(r.Options.Gains) > 0 {
		o.Table = r.Options.Gains[0].Name
	}
	o.Gains = gainTable(o.Table, r)
	o.Changes = plain != nil && o.Order != ranked(r, plain)
	return o
}

// compared is a comparison, spelled.
type compared struct {
	eval.Comparison
	Diff, Interval, PText, HolmText, EffectText, DetectableText string
	WinWide, TieWide, LossWide                                  float64
	OutcomeClass                                                string
}

func newCompared(c *eval.Comparison) compared {
	n := c.Wins + c.Ties + c.Losses
	w := func(k int) float64 { return math.Round(1e4*share(k, n)) / 100 }
	return compared{Comparison: *c, Diff: signed(c.Difference), Interval: signedInterval(c.Low, c.High), PText: probability(c.P), HolmText: probability(c.PHolm),
		EffectText: signed(c.Effect), DetectableText: value(c.Detectable), WinWide: w(c.Wins), TieWide: w(c.Ties), LossWide: w(c.Losses), OutcomeClass: outcomeClass(c.Outcome)}
}

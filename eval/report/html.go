package report

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/eval"
)

//go:embed index.html
var pageText string

// HTML writes the report as one page that needs nothing else: plots are SVG, the
// script only filters the list of queries, and the page follows the reader's light
// or dark theme.
func HTML(w io.Writer, r *eval.Report) error {
	b := bufio.NewWriterSize(w, 1<<16)
	if err := page.Execute(b, newView(r)); err != nil {
		return err
	}
	return b.Flush()
}

// page is parsed once; executing it changes nothing.
var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"text":     clean,
	"count":    count,
	"value":    value,
	"signed":   signed,
	"dec":      func(x eval.Number) string { return decimals(x, 1) },
	"number":   number,
	"interval": interval,
	"title":    title,
	"percent":  percentage,
	"plural":   plural,
	"short":    func(hash string) string { return hash[:min(12, len(hash))] },
	"join":     func(list []string) string { return clean(strings.Join(list, ", ")) },
	"add":      func(a, b int) int { return a + b },
}).Parse(pageText))

// view is what the page shows, prepared.
type view struct {
	*eval.Report
	Verdicts []verdict
	// MoreVerdicts are those that stand behind a fold.
	MoreVerdicts []verdict
	Hero         *hero
	Tiles        []tile
	Judged       []labelPart // how often each label was given
	Faults       string
	Tasks        []taskView
	Agreement    *matrix
	Movements    []movement
	Segments     []segmentsView
	Segment      string // the metric of segments and of queries
	Drift        *driftView
	Leaks        bool
	Seen         *taskView
	Fusion       *fusionView
	Queries      []queryView
	Metrics      []definition
}

type verdict struct{ Text, Outcome, Word string }

type tile struct{ Value, Text string }

// hero is the difference that the report is about.
type hero struct {
	compared
	Metric, Task string
	Track        track
	Ticks        []tick
}

type labelPart struct {
	eval.LevelInfo
	Class string
	Width float64
	Share string
}

type definition struct{ ID, Metric, Title, Text string }

func newView(r *eval.Report) *view {
	v := &view{Report: r, Faults: faults(r)}
	v.Verdicts = verdicts(r)
	if n := len(v.Verdicts); n > shownVerdicts+1 {
		v.Verdicts, v.MoreVerdicts = v.Verdicts[:shownVerdicts], v.Verdicts[shownVerdicts:]
	}
	if t, c := headline(r); c != nil {
		one := newCompared(c)
		a := axisOver(0, eval.Number(r.Options.Tie), eval.Number(-r.Options.Tie), c.Difference, c.Low, c.High)
		h := &hero{compared: one, Metric: title(c.Metric), Task: t.Title, Ticks: a.ticks(signed),
			Track: differenceTrack(a, r.Options.Tie, c.Difference, c.Low, c.High, "the difference and its interval")}
		h.Track.Outcome = one.OutcomeClass
		v.Hero = h
	}
	v.tiles()
	total := 0
	for _, l := range r.Judgments.Levels {
		total += l.Count
	}
	for _, l := range slices.Backward(r.Judgments.Levels) {
		s := share(l.Count, total)
		v.Judged = append(v.Judged, labelPart{l, labelClass(r, l.Label), math.Round(1e4*s) / 100, percentage(s)})
	}
	for i := range r.Tasks {
		v.Tasks = append(v.Tasks, newTask(r, &r.Tasks[i], "task-"+fmt.Sprint(i+1)))
	}
	v.Agreement = newMatrix(r)
	for _, m := range r.Movements {
		v.Movements = append(v.Movements, newMovement(r, m))
	}
	if len(r.Tasks) > 0 {
		v.Segment = title(deciding(&r.Tasks[0]))
	}
	v.Segments = newSegments(r)
	if r.Drift != nil {
		v.Drift = newDrift(r)
	}
	v.Leaks = leaks(r)
	if r.Leakage != nil && r.Leakage.Seen != nil {
		t := newTask(r, r.Leakage.Seen, "seen")
		v.Seen = &t
	}
	if r.Fusion != nil {
		v.Fusion = newFusion(r)
	}
	v.Queries = newQueries(r)
	for _, m := range metricsUsed(r) {
		v.Metrics = append(v.Metrics, definition{metricID(m), clean(m), title(m), define(m, r.Options)})
	}
	return v
}

// shownVerdicts is how many verdicts are at the top of the page.
const shownVerdicts = 4

// metricID names the definition of a metric within the page.
func metricID(metric string) string {
	return "metric-" + strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, metric)
}

// verdicts gives each verdict the outcome of the comparison that it tells of; the
// first, where none fits, that of the comparison the report is about.
func verdicts(r *eval.Report) (list []verdict) {
	for i, text := range r.Verdicts {
		outcome := ""
		for _, t := range r.Tasks {
			for _, c := range t.Comparisons {
				if c.Verdict != "" && strings.Contains(text, c.Verdict) {
					outcome = c.Outcome
					break
				}
			}
			if outcome != "" {
				break
			}
		}
		if _, c := headline(r); outcome == "" && i == 0 && c != nil {
			outcome = c.Outcome
		}
		list = append(list, verdict{clean(text), outcomeClass(outcome), outcome})
	}
	return list
}

func outcomeClass(outcome string) string {
	switch outcome {
	case eval.Better, eval.Worse, eval.Tie, eval.Unclear:
		return outcome
	}
	return ""
}

func (v *view) tiles() {
	r := v.Report
	v.Tiles = []tile{{count(r.Judgments.Queries), "judged queries"}, {count(r.Judgments.Count), "judgements"}}
	if r.Index != nil {
		v.Tiles = append(v.Tiles, tile{count(r.Index.Products), "products"})
	}
	for _, t := range r.Tasks {
		for _, m := range t.Metrics {
			known, ok := parsed(m.Metric)
			if !ok || known.Name != "judged" || t.Name == eval.PoolTask {
				continue
			}
			low, high := math.Inf(1), math.Inf(-1)
			for _, x := range m.Values {
				if x.Mean.Exists() {
					low, high = min(low, float64(x.Mean)), max(high, float64(x.Mean))
				}
			}
			if low > high {
				continue
			}
			text := fmt.Sprintf("%.0f–%.0f\u202f%%", 100*low, 100*high)
			if math.Round(100*low) == math.Round(100*high) {
				text = fmt.Sprintf("%.0f\u202f%%", 100*low)
			}
			v.Tiles = append(v.Tiles, tile{text, fmt.Sprintf("of the first %d hits judged", known.K)})
			return
		}
	}
}

// taskView is a task, prepared.
type taskView struct {
	*eval.Task
	ID       string
	Systems  []eval.SystemInfo
	Missing  []string // what systems left unanswered
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
	Seen     bool   // the queries that a model saw
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
	v := taskView{Task: t, ID: id, Systems: r.Systems, Level: confidence(r), Deciding: title(deciding(t)), Seen: id == "seen"}
	for i, n := range t.Missing {
		if n > 0 && i < len(r.Systems) {
			v.Missing = append(v.Missing, fmt.Sprintf("%s left %s unanswered", clean(r.Systems[i].Name), plural(n, "query", "queries")))
		}
	}
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
			v.Orders = append(v.Orders, newOrder(r, m, m))
			for _, g := range gains {
				if known, _ := parsed(g.Metric); base(known) == m.Metric {
					columns = append(columns, g)
					v.Orders = append(v.Orders, newOrder(r, m, g))
				}
			}
		}
		for _, g := range gains {
			if !slices.Contains(columns, g) {
				columns = append(columns, g)
				v.Orders = append(v.Orders, newOrder(r, nil, g))
			}
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

// matrix shows how alike systems rank, each two once.
type matrix struct {
	Columns []string
	Rows    []matrixRow
}

type matrixRow struct {
	System string
	Cells  []matrixCell
}

type matrixCell struct {
	Exists, Self      bool
	RBO, Overlap, Tau string
	Shade             float64 // how alike, in percent
}

func newMatrix(r *eval.Report) *matrix {
	if len(r.Agreement) == 0 {
		return nil
	}
	m := &matrix{}
	for _, s := range r.Systems {
		m.Columns = append(m.Columns, s.Name)
	}
	for i, a := range r.Systems {
		row := matrixRow{System: a.Name}
		for j, b := range r.Systems {
			c := matrixCell{Self: i == j}
			for _, g := range r.Agreement {
				if g.A == a.Name && g.B == b.Name || g.A == b.Name && g.B == a.Name {
					c = matrixCell{Exists: true, RBO: value(g.RBO), Overlap: value(g.Overlap), Tau: value(g.Tau)}
					if g.RBO.Exists() {
						c.Shade = math.Round(50 * min(1, max(0, float64(g.RBO))))
					}
				}
			}
			row.Cells = append(row.Cells, c)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// movement is what changed, with bars around a middle.
type movement struct {
	eval.Movement
	Rows []movementRow
}

type movementRow struct {
	eval.MovementRow
	Class      string
	Bars       []bar
	HasControl bool
}

func newMovement(r *eval.Report, m eval.Movement) movement {
	v := movement{Movement: m}
	most := 1
	for _, row := range m.Rows {
		most = max(most, row.Gained, row.Lost)
	}
	for _, row := range m.Rows {
		one := movementRow{MovementRow: row, Class: labelClass(r, row.Label), HasControl: m.Control != ""}
		w := func(n int) float64 { return math.Round(4900*float64(n)/float64(most)) / 100 }
		add := func(n, control int, left bool) {
			old := min(control, n)
			if m.Control == "" {
				old = 0
			}
			x, inner := 50.0, w(old)
			if left {
				one.Bars = append(one.Bars, bar{X: x - inner, W: inner, Class: one.Class + " faint"}, bar{X: x - w(n), W: w(n) - inner, Class: one.Class})
				return
			}
			one.Bars = append(one.Bars, bar{X: x, W: inner, Class: one.Class + " faint"}, bar{X: x + inner, W: w(n) - inner, Class: one.Class})
		}
		add(row.Lost, row.LostInControl, true)
		add(row.Gained, row.GainedInControl, false)
		one.Bars = slices.DeleteFunc(one.Bars, func(b bar) bool { return b.W <= 0 })
		v.Rows = append(v.Rows, one)
	}
	return v
}

type segmentsView struct {
	By   string
	Rows []segmentRow
	Last []tick
}

type segmentRow struct {
	Value    string
	Queries  int
	Means    []cell
	Diff     string
	Interval string
	Track    track
}

func newSegments(r *eval.Report) (list []segmentsView) {
	values := []eval.Number{0, eval.Number(r.Options.Tie), eval.Number(-r.Options.Tie)}
	for _, s := range r.Segments {
		for _, row := range s.Rows {
			values = append(values, row.Difference, row.Low, row.High)
		}
	}
	a := axisOver(values...) // one for all, so that segments can be compared
	for _, s := range r.Segments {
		v := segmentsView{By: s.By, Last: a.ticks(signed)}
		for _, row := range s.Rows {
			one := segmentRow{Value: row.Value, Queries: row.Queries, Diff: signed(row.Difference), Interval: signedInterval(row.Low, row.High),
				Track: differenceTrack(a, r.Options.Tie, row.Difference, row.Low, row.High, "the difference and its interval")}
			switch {
			case row.Low > 0:
				one.Track.Outcome = eval.Better
			case row.High < 0:
				one.Track.Outcome = eval.Worse
			}
			m := eval.MetricInfo{}
			for _, x := range row.Means {
				m.Values = append(m.Values, eval.Value{Mean: x})
			}
			marks := best(&m)
			for i, x := range row.Means {
				one.Means = append(one.Means, cell{Mean: value(x), Best: marks[i]})
			}
			v.Rows = append(v.Rows, one)
		}
		list = append(list, v)
	}
	return list
}

type driftView struct {
	*eval.Drift
	CosineTrack track
	CosineTicks []tick
	Models      []model
	Collapsed   []string
}

type model struct {
	eval.Geometry
	Ridge *ridge
}

func newDrift(r *eval.Report) *driftView {
	d := &driftView{Drift: r.Drift}
	if c := r.Drift.Cosine; c != nil {
		a := axisOver(c.Least, c.Most)
		d.CosineTicks = a.ticks(value)
		d.CosineTrack = track{Exists: true, HasRange: true, Low: a.at(float64(c.P5)), High: a.at(float64(c.P95)), HasPoint: true, Point: a.at(float64(c.Median)),
			Zero: a.at(float64(c.Least)), Other: a.at(float64(c.Most)), Label: "least, 5th percentile, median, 95th percentile and greatest cosine"}
		d.CosineTrack.Width = wide(d.CosineTrack.Low, d.CosineTrack.High)
	}
	for i := range r.Drift.Models {
		g := &r.Drift.Models[i]
		d.Models = append(d.Models, model{*g, newRidge(r, g)})
		if g.Collapsed {
			d.Collapsed = append(d.Collapsed, clean(g.System))
		}
	}
	return d
}

type fusionView struct {
	*eval.FusionTuning
	Plot      *tuning
	Top, Rest []fusionRow
	Compared  []compared
}

type fusionRow struct {
	eval.FusionSetting
	Rank            int
	Chosen, Current bool
}

// topSettings are shown at once, the others on demand.
const topSettings = 10

func newFusion(r *eval.Report) *fusionView {
	f := &fusionView{FusionTuning: r.Fusion, Plot: newTuning(r, r.Fusion)}
	settings := slices.Clone(r.Fusion.Settings)
	slices.SortStableFunc(settings, func(a, b eval.FusionSetting) int {
		switch {
		case a.Dev > b.Dev || a.Dev.Exists() && !b.Dev.Exists():
			return -1
		case a.Dev < b.Dev || !a.Dev.Exists() && b.Dev.Exists():
			return 1
		}
		return 0
	})
	for i, s := range settings {
		row := fusionRow{s, i + 1, s.Fusion == r.Fusion.Chosen, s.Fusion == r.Fusion.Current}
		if i < topSettings || row.Chosen || row.Current {
			f.Top = append(f.Top, row)
		} else {
			f.Rest = append(f.Rest, row)
		}
	}
	if r.Fusion.Comparison != nil {
		f.Compared = []compared{newCompared(r.Fusion.Comparison)}
	}
	return f
}

// queryView is a query, prepared.
type queryView struct {
	*eval.QueryReport
	N       int
	Diff    string
	Outcome string
	Bar     bar
	Values  []queryValue
}

type queryValue struct {
	System, Value string
	Hits          []hit
}

type hit struct {
	Product, Title, Label, Class, Score string
}

func newQueries(r *eval.Report) []queryView {
	classes := map[string]string{"": "U"}
	for _, l := range r.Judgments.Levels {
		classes[l.Label] = labelClass(r, l.Label)
	}
	list := make([]queryView, len(r.Queries))
	for i := range r.Queries {
		q := &r.Queries[i]
		v := queryView{QueryReport: q, N: i + 1, Diff: signed(q.Difference), Outcome: "even"}
		tie := max(r.Options.Tie, 0)
		switch d := float64(q.Difference); {
		case math.IsNaN(d):
		case d > tie:
			v.Outcome = eval.Better
		case d < -tie:
			v.Outcome = eval.Worse
		}
		if q.Difference.Exists() {
			w := math.Round(100*min(50, 50*math.Abs(float64(q.Difference)))) / 100
			v.Bar = bar{X: 50, W: w}
			if q.Difference < 0 {
				v.Bar.X = math.Round(100*(50-w)) / 100
			}
		}
		for j, s := range q.Systems {
			one := queryValue{Value: value(s.Value), System: fmt.Sprintf("system %d", j+1)}
			if j < len(r.Systems) {
				one.System = clean(r.Systems[j].Name)
			}
			for _, h := range s.Hits {
				c, ok := classes[h.Label]
				if !ok {
					c = "U"
				}
				one.Hits = append(one.Hits, hit{clean(h.Product), clean(h.Title), clean(h.Label), c, number(h.Score)})
			}
			v.Values = append(v.Values, one)
		}
		list[i] = v
	}
	return list
}

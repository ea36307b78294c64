package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/trirank/trirank/eval"
)

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
	By    string
	Rows  []segmentRow
	Ticks []tick
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
		v := segmentsView{By: s.By, Ticks: a.ticks(signed)}
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
	Scored      bool // some judged product has a score
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
		d.CosineTrack = track{HasRange: true, Low: a.at(float64(c.P5)), High: a.at(float64(c.P95)), HasPoint: true, Point: a.at(float64(c.Median)),
			Zero: a.at(float64(c.Least)), Other: a.at(float64(c.Most)), Label: "least, 5th percentile, median, 95th percentile and greatest cosine"}
		d.CosineTrack.Width = wide(d.CosineTrack.Low, d.CosineTrack.High)
	}
	for i := range r.Drift.Models {
		g := &r.Drift.Models[i]
		d.Models = append(d.Models, model{*g, newRidge(r, g)})
		d.Scored = d.Scored || slices.ContainsFunc(g.Scores, func(s eval.LabelScores) bool { return s.Count > 0 })
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

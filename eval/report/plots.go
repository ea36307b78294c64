package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/plot"
)

// Plots are SVG whose x is in percent of the width, so that they need no view box
// and texts keep their size on a telephone.

// axis maps values to percent.
type axis struct{ low, high float64 }

// axisOver covers all that exists among values, with some air at the ends.
func axisOver(values ...eval.Number) axis {
	a := axis{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		if v.Exists() && !math.IsInf(float64(v), 0) {
			a.low, a.high = min(a.low, float64(v)), max(a.high, float64(v))
		}
	}
	if a.low > a.high {
		return axis{0, 1}
	}
	air := max((a.high-a.low)*.04, 1e-6)
	return axis{a.low - air, a.high + air}
}

// at is the place of v in percent, with two decimals and kept inside.
func (a axis) at(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return math.Round(1e4*min(1, max(0, (v-a.low)/(a.high-a.low)))) / 100
}

type tick struct {
	X      float64 // percent
	Text   string
	Anchor string // of the text, so that it stays inside
}

// ticks are at round values, few enough for a telephone.
func (a axis) ticks(spell func(eval.Number) string) (list []tick) {
	step := plot.Step(a.low, a.high)
	for i := math.Ceil(a.low / step); i*step <= a.high; i++ {
		v := i * step
		t := tick{a.at(v), strings.TrimSuffix(strings.TrimRight(spell(eval.Number(v)), "0"), "."), "middle"}
		if i == 0 {
			t.Text = "0"
		} else if step < .0009 || math.Abs(v) >= 1 {
			t.Text = number(v)
		}
		switch {
		case t.X < 5:
			t.Anchor = "start"
		case t.X > 95:
			t.Anchor = "end"
		}
		list = append(list, t)
	}
	return list
}

// track is a line of a plot with a range and points, all in percent.
type track struct {
	Low, High, Width float64 // the range
	Point, Other     float64
	Zero             float64
	TieAt, TieWide   float64 // the band of differences that do not matter
	Outcome          string
	Label            string // for readers who do not see it

	HasRange, HasPoint, HasOther bool
}

// differenceTrack draws a difference with its interval.
func differenceTrack(a axis, tie float64, d, low, high eval.Number, label string) track {
	t := track{Zero: a.at(0), Label: label, HasPoint: d.Exists(), Point: a.at(float64(d))}
	if tie > 0 {
		t.TieAt = a.at(-tie)
		t.TieWide = wide(t.TieAt, a.at(tie))
	}
	if low.Exists() && high.Exists() {
		t.HasRange, t.Low, t.High = true, a.at(float64(low)), a.at(float64(high))
		t.Width = wide(t.Low, t.High)
	}
	return t
}

func wide(from, to float64) float64 { return math.Round(100*(to-from)) / 100 }

// bar is a rectangle.
type bar struct {
	X, W  float64 // percent
	Y, H  float64 // pixels
	Class string
	Title string
}

// forest is a plot of differences.
type forest struct {
	Rows  []forestRow
	Ticks []tick
	Tie   float64
}

type forestRow struct {
	compared
	Track track
}

func newForest(r *eval.Report, list []compared) *forest {
	if len(list) == 0 {
		return nil
	}
	values := []eval.Number{0, eval.Number(r.Options.Tie), eval.Number(-r.Options.Tie)}
	for _, c := range list {
		values = append(values, c.Comparison.Difference, c.Low, c.High)
	}
	a := axisOver(values...)
	f := &forest{Ticks: a.ticks(signed), Tie: r.Options.Tie}
	for _, c := range list {
		row := forestRow{compared: c, Track: differenceTrack(a, r.Options.Tie, c.Comparison.Difference, c.Low, c.High,
			fmt.Sprintf("%s against %s: %s %s", clean(c.B), clean(c.A), c.Diff, c.Interval))}
		row.Track.Outcome = c.OutcomeClass
		f.Rows = append(f.Rows, row)
	}
	return f
}

// bounds shows what the unjudged hits might change.
type bounds struct {
	Metric string
	Rows   []boundsRow
	Ticks  []tick
}

type boundsRow struct {
	System                          string
	Lowest, Plain, Condensed, Upper string
	Track                           track
}

func newBounds(r *eval.Report, t *eval.Task) (plots []bounds) {
	byText := map[string]*eval.MetricInfo{}
	for i := range t.Metrics {
		byText[t.Metrics[i].Metric] = &t.Metrics[i]
	}
	for i := range t.Metrics {
		m, ok := parsed(t.Metrics[i].Metric)
		if !ok || m.Name != "ndcglow" {
			continue
		}
		of := func(name string) *eval.MetricInfo {
			n := m
			n.Name = name
			return byText[n.String()]
		}
		low, high, plain, condensed := &t.Metrics[i], of("ndcghigh"), of("ndcg"), of("cndcg")
		if high == nil || plain != nil && low.Queries < plain.Queries {
			continue // what is measured of other queries may lie beyond the bounds
		}
		var values []eval.Number
		mean := func(m *eval.MetricInfo, s int) eval.Number {
			if m == nil {
				return nan
			}
			return at(m.Values, s).Mean
		}
		for s := range r.Systems {
			for _, m := range []*eval.MetricInfo{low, high, plain, condensed} {
				values = append(values, mean(m, s))
			}
		}
		a := axisOver(values...)
		n := m
		n.Name = "ndcg"
		b := bounds{Metric: n.Title(), Ticks: a.ticks(value)}
		for s, system := range r.Systems {
			l, h, p, c := mean(low, s), mean(high, s), mean(plain, s), mean(condensed, s)
			row := boundsRow{System: system.Name, Lowest: value(l), Upper: value(h), Plain: value(p), Condensed: value(c)}
			row.Track = track{HasRange: l.Exists() && h.Exists(), Low: a.at(float64(l)), High: a.at(float64(h)), HasPoint: p.Exists(), Point: a.at(float64(p)),
				HasOther: c.Exists(), Other: a.at(float64(c)), Label: fmt.Sprintf("%s: from %s to %s", clean(system.Name), row.Lowest, row.Upper)}
			row.Track.Width = wide(row.Track.Low, row.Track.High)
			b.Rows = append(b.Rows, row)
		}
		plots = append(plots, b)
	}
	return plots
}

// ridge is the histograms of one model's scores, a row for each label.
type ridge struct {
	Rows     []ridgeRow
	Ticks    []tick
	From, To string
}

type ridgeRow struct {
	Label, Class string
	Count        int
	Bars         []bar
	Median       float64
	HasMedian    bool
	Aria         string
}

const ridgeHeight = 46.0

// newRidge gives each model an axis of its own, from its least score to its
// greatest: some models crowd all cosines near 1.
func newRidge(r *eval.Report, g *eval.Geometry) *ridge {
	if len(g.Scores) == 0 {
		return nil
	}
	first := g.Scores[0]
	a := axis{first.From, first.To}
	if !(a.high > a.low) {
		a.high = a.low + 1e-6
	}
	p := &ridge{Ticks: a.ticks(value), From: number(first.From), To: number(first.To)}
	var tallest float64 // as a share of a label's scores, so that rare labels have a shape as well
	for _, s := range g.Scores {
		for _, n := range s.Bins {
			tallest = max(tallest, share(n, s.Count))
		}
	}
	for _, s := range slices.Backward(g.Scores) { // best label on top
		row := ridgeRow{Label: s.Label, Class: labelClass(r, s.Label), Count: s.Count, HasMedian: s.Spread.Median.Exists(), Median: a.at(float64(s.Spread.Median)),
			Aria: fmt.Sprintf("Scores of products labelled %s: median %s, from %s to %s", clean(s.Label), value(s.Spread.Median), value(s.Spread.Least), value(s.Spread.Most))}
		w := 100 / float64(max(len(s.Bins), 1))
		for i, n := range s.Bins {
			if n == 0 {
				continue
			}
			h := max(1, math.Round(10*ridgeHeight*share(n, s.Count)/tallest)/10)
			from := s.From + (s.To-s.From)*float64(i)/float64(len(s.Bins))
			to := s.From + (s.To-s.From)*float64(i+1)/float64(len(s.Bins))
			row.Bars = append(row.Bars, bar{X: math.Round(100*w*float64(i)) / 100, W: math.Round(100*w*.94) / 100, Y: math.Round(10*(ridgeHeight+4-h)) / 10, H: h,
				Title: fmt.Sprintf("%s to %s: %s", value(eval.Number(from)), value(eval.Number(to)), count(n))})
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// tuning is the plot of a fusion's metric over the weight of one of two systems.
type tuning struct {
	Of, Other    string // the systems that share the weight
	Lines        []segment
	Tests        []segment
	Points       []tuned
	XTicks       []tick
	YTicks       []ytick
	Height, Base float64
}

type segment struct{ X1, X2, Y1, Y2 float64 }

type tuned struct {
	X, Y   float64
	Chosen bool
	Title  string
}

type ytick struct {
	Y    float64
	Text string
}

// weights reads a convex fusion of two systems.
func weights(fusion string) (names [2]string, weight [2]float64, ok bool) {
	rest, found := strings.CutPrefix(fusion, "convex:")
	parts := strings.Split(rest, ",")
	if !found || len(parts) != 2 {
		return names, weight, false
	}
	for i, p := range parts {
		at := strings.LastIndexByte(p, '=')
		if at <= 0 {
			return names, weight, false
		}
		w, err := strconv.ParseFloat(p[at+1:], 64)
		if err != nil || !(w >= 0) || math.IsInf(w, 0) {
			return names, weight, false
		}
		names[i], weight[i] = p[:at], w
	}
	return names, weight, weight[0]+weight[1] > 0
}

const tuningHeight = 200.0

// newTuning draws the pair of systems that was tried most often; nil if there are
// not three settings of one pair.
func newTuning(r *eval.Report, f *eval.FusionTuning) *tuning {
	type setting struct {
		x float64
		eval.FusionSetting
	}
	pairs := map[[2]string][]setting{}
	var most [2]string
	for _, s := range f.Settings {
		names, w, ok := weights(s.Fusion)
		if !ok || !s.Dev.Exists() {
			continue
		}
		if names[1] == r.Control && r.Control != "" || names[0] != r.Control && names[1] < names[0] {
			names[0], names[1], w[0], w[1] = names[1], names[0], w[1], w[0]
		}
		pairs[names] = append(pairs[names], setting{w[0] / (w[0] + w[1]), s})
		if len(pairs[names]) > len(pairs[most]) {
			most = names
		}
	}
	list := pairs[most]
	if len(list) < 3 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b setting) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	var values []eval.Number
	for _, s := range list {
		values = append(values, s.Dev, s.Test)
	}
	a := axisOver(values...)
	x := axis{-.03, 1.03}
	y := func(v eval.Number) float64 { return math.Round(10*(10+tuningHeight*(1-a.at(float64(v))/100))) / 10 }
	p := &tuning{Of: most[0], Other: most[1], Height: tuningHeight + 34, Base: tuningHeight + 10}
	for i, s := range list {
		p.Points = append(p.Points, tuned{X: x.at(s.x), Y: y(s.Dev), Chosen: s.Fusion == f.Chosen, Title: fmt.Sprintf("%s: dev %s, test %s", clean(s.Fusion), value(s.Dev), value(s.Test))})
		if i == 0 {
			continue
		}
		before := list[i-1]
		p.Lines = append(p.Lines, segment{x.at(before.x), x.at(s.x), y(before.Dev), y(s.Dev)})
		if before.Test.Exists() && s.Test.Exists() {
			p.Tests = append(p.Tests, segment{x.at(before.x), x.at(s.x), y(before.Test), y(s.Test)})
		}
	}
	for i := 0; i <= 4; i++ {
		v := float64(i) / 4
		p.XTicks = append(p.XTicks, tick{x.at(v), percentage(v), "middle"})
	}
	for _, t := range a.ticks(value) {
		p.YTicks = append(p.YTicks, ytick{math.Round(10*(10+tuningHeight*(1-t.X/100))) / 10, t.Text})
	}
	return p
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// labelClass is the colour of a label, one of four from the worst to the best.
func labelClass(r *eval.Report, label string) string {
	levels := r.Judgments.Levels
	at := slices.IndexFunc(levels, func(l eval.LevelInfo) bool { return l.Label == label })
	switch {
	case label == "" || len(levels) == 0:
		return "U"
	case at < 0:
		return bandClass(label, levels[len(levels)-1].Gain)
	case at == len(levels)-1:
		return "E"
	case at == 0:
		return "I"
	case len(levels) > 3 && 2*at >= len(levels):
		return "S"
	case len(levels) == 3:
		return "S"
	}
	return "C"
}

// bandClass is the colour of a label that is within a band: by its share of the
// greatest.
func bandClass(label string, greatest float64) string {
	v, err := strconv.ParseFloat(label, 64)
	switch {
	case err != nil:
		return "U"
	case v <= 0:
		return "I"
	case v < greatest/2:
		return "C"
	case v < greatest*3/4:
		return "S"
	}
	return "E"
}

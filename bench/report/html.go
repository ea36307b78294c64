package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/internal/plot"
)

//go:embed index.html
var page string

var pageTemplate = template.Must(template.New("").Funcs(template.FuncMap{
	"value":      value,
	"unit":       unitName,
	"difference": difference,
}).Parse(page))

// HTML writes a report as one page without outside parts.
func HTML(w io.Writer, r *bench.Report) error {
	v := view{Report: r, Machine: machine(r)}
	for _, name := range slices.Sorted(maps.Keys(r.Machine.Libraries)) {
		v.Machine += ", " + name + " " + r.Machine.Libraries[name]
	}
	for i := range r.Sections {
		v.Sections = append(v.Sections, newSection(&r.Sections[i]))
	}
	return pageTemplate.Execute(w, &v)
}

type view struct {
	*bench.Report
	Machine  string
	Sections []section
}

type section struct {
	*bench.Section
	Keys, Units []string
	First       string // what differences are to
	Rows        []row
	Against     bool
	Plots       []figure
	Bars        []bar
}

type row struct {
	*bench.Result
	Front bool
}

func newSection(s *bench.Section) section {
	out := section{Section: s}
	out.Keys, out.Units = columns(s.Results)
	out.First = firstName(s)
	best := map[string]bool{}
	for _, r := range fronts(s) {
		best[r.String()] = true
	}
	for i := range s.Results {
		r := &s.Results[i]
		out.Rows = append(out.Rows, row{r, best[r.String()]})
		out.Against = out.Against || r.Against != nil
	}
	for i := range s.Plots {
		if p := newFigure(s, &s.Plots[i]); p != nil {
			out.Plots = append(out.Plots, *p)
		}
	}
	if s.Waterfall != nil {
		out.Bars = newBars(s.Waterfall)
	}
	return out
}

// Classes are the numbers of the page's colours.
func (v *view) Classes() (out []int) {
	for i := range colours {
		out = append(out, i)
	}
	return out
}

// InnerWidth and InnerHeight are those of the frame.
func (p figure) InnerWidth() float64  { return p.X1 - p.X0 }
func (p figure) InnerHeight() float64 { return p.Y1 - p.Y0 }

// A figure is a plot as SVG in a coordinate system of its own: width by height with a frame.
type figure struct {
	Title          string
	Width, Height  float64
	X0, X1, Y0, Y1 float64 // of the frame
	XName, YName   string
	XTicks, YTicks []tick
	Series         []series
	Front          string // points of a line
}

type tick struct {
	At   float64
	Text string
}

type series struct {
	Name   string
	Class  int
	Line   string
	Points []point
}

type point struct {
	X, Y  float64
	Label string
}

// colours is how many classes of colours the page has.
const colours = 9

func newFigure(s *bench.Section, p *bench.Plot) *figure {
	out := &figure{
		Width: 560, Height: 340, X0: 58, X1: 546, Y0: 14, Y1: 292,
		XName: unitName(p.X), YName: p.Y, Title: title(p),
	}
	var some []bench.Result
	for i := range s.Results {
		if p.Includes(&s.Results[i]) {
			some = append(some, s.Results[i])
		}
	}
	if len(some) < 2 {
		return nil
	}
	scale := func(unit string) float64 {
		if strings.HasSuffix(unit, "-ns") {
			return 1e-6
		}
		return 1
	}
	get := func(r *bench.Result, unit string) float64 {
		v, _ := r.Metric(unit)
		return v * scale(unit)
	}
	x, y := newAxis(p.LogX), newAxis(false)
	for i := range some {
		x.cover(get(&some[i], p.X))
		y.cover(get(&some[i], p.Y))
	}
	x.air()
	y.air()
	atX := func(v float64) float64 { return round(out.X0 + x.share(v)*(out.X1-out.X0)) }
	atY := func(v float64) float64 { return round(out.Y1 - y.share(v)*(out.Y1-out.Y0)) }
	for _, v := range x.ticks() {
		out.XTicks = append(out.XTicks, tick{atX(v), tickText(v)})
	}
	for _, v := range y.ticks() {
		out.YTicks = append(out.YTicks, tick{atY(v), tickText(v)})
	}
	byName := map[string]int{}
	var members [][]bench.Result // of each series
	for i := range some {
		r := &some[i]
		name := r.Param(p.Series)
		at, ok := byName[name]
		if !ok {
			at = len(out.Series)
			byName[name] = at
			out.Series = append(out.Series, series{Name: name, Class: at % colours})
			members = append(members, nil)
		}
		members[at] = append(members[at], *r)
		label := r.String() + ": "
		for j, u := range []string{p.Y, p.X} {
			if j > 0 {
				label += ", "
			}
			label += unitName(u) + " " + value(r, u)
		}
		out.Series[at].Points = append(out.Series[at].Points, point{atX(get(r, p.X)), atY(get(r, p.Y)), label})
	}
	// A line joins the best of a series, where that is a question: its other points
	// lie below.
	best := func(results []bench.Result) string {
		var points []point
		for i, front := range bench.Front(results, p.X, p.Y) {
			if front || !p.Front {
				points = append(points, point{X: atX(get(&results[i], p.X)), Y: atY(get(&results[i], p.Y))})
			}
		}
		slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.X, b.X) })
		return line(points)
	}
	for i := range out.Series {
		out.Series[i].Line = best(members[i])
	}
	if p.Front {
		out.Front = best(some)
	}
	return out
}

func line(points []point) string {
	var b strings.Builder
	for _, p := range points {
		fmt.Fprintf(&b, "%g,%g ", p.X, p.Y)
	}
	return strings.TrimSpace(b.String())
}

func round(v float64) float64 { return math.Round(10*v) / 10 }

// axis maps values to 0..1, by their logarithm if log is set.
type axis struct {
	log       bool
	low, high float64
}

func newAxis(log bool) *axis { return &axis{log, math.Inf(1), math.Inf(-1)} }

func (a *axis) in(v float64) float64 {
	if a.log {
		return math.Log10(max(v, 1e-9))
	}
	return v
}

func (a *axis) cover(v float64) {
	a.low, a.high = min(a.low, a.in(v)), max(a.high, a.in(v))
}

func (a *axis) air() {
	gap := max(.05*(a.high-a.low), 1e-6)
	a.low, a.high = a.low-gap, a.high+gap
}

func (a *axis) share(v float64) float64 { return (a.in(v) - a.low) / (a.high - a.low) }

// ticks are at round values.
func (a *axis) ticks() (out []float64) {
	if a.log {
		steps := []float64{1, 2, 5}
		if a.high-a.low > 2.5 {
			steps = steps[:1]
		}
		for e := math.Floor(a.low); e <= a.high; e++ {
			for _, f := range steps {
				if v := f * math.Pow(10, e); a.in(v) >= a.low && a.in(v) <= a.high {
					out = append(out, v)
				}
			}
		}
		return out
	}
	step := plot.Step(a.low, a.high)
	for i := math.Ceil(a.low / step); i*step <= a.high; i++ {
		out = append(out, i*step)
	}
	return out
}

func tickText(v float64) string { return fmt.Sprintf("%.4g", v) }

// bar is a step of a waterfall, in percent of the width.
type bar struct {
	Name        string
	Result      *bench.Result // with what it lost
	Now, Before float64
}

func newBars(w *bench.Waterfall) (out []bar) {
	before := 0.
	for i := range w.Steps {
		s := &w.Steps[i]
		now, _ := s.Result.Metric("recall@10")
		if i == 0 {
			before = now
		}
		r := s.Result
		r.Against = s.Lost
		out = append(out, bar{s.Name, &r, 100 * now, 100 * before})
		before = now
	}
	return out
}

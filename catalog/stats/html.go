package stats

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

//go:embed report.html
var pageText string

// WriteHTML writes the report as one page that needs nothing else: its plots are
// SVG, it has no script, and it follows the reader's light or dark theme.
func (r *Report) WriteHTML(w io.Writer) error { return page.Execute(w, r) }

// page is parsed once; executing it changes nothing.
var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"count":      count,
	"percent":    percent,
	"num":        num,
	"percent100": func(x float64) string { return fmt.Sprintf("%.0f\u202f%%", 100*x) },
	"share":      func(n, of int) float64 { return math.Round(1e4*ratio(n, of)) / 100 },
	"histogram":  newHistogram,
	"logPlot":    newLogPlot,
	"stack":      newStack,
	"name":       labelName,
	"class":      (*Report).class,
	"overlap":    overlapHistogram,
	"short":      func(hash string) string { return hash[:min(12, len(hash))] },
}).Parse(pageText))

func ratio(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func percent(n, of int) string {
	x := 100 * ratio(n, of)
	if x > 0 && x < 10 {
		return fmt.Sprintf("%.1f\u202f%%", x)
	}
	return fmt.Sprintf("%.0f\u202f%%", x)
}

// count spells n with spaces between thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// num spells x with three digits or so.
func num(x float64) string {
	switch a := math.Abs(x); {
	case a >= 1e6:
		return strconv.FormatFloat(x/1e6, 'g', 3, 64) + "\u202fM"
	case a >= 1e4:
		return count(int(math.Round(x)))
	case a >= 100 || x == math.Trunc(x):
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(x, 'f', 2, 64), "0"), ".")
}

// The size of plots, in units of their view box, and of what is around the bars.
const (
	plotWidth, plotHeight             = 460.0, 190.0
	marginLeft, marginTop, marginDown = 46.0, 10.0, 24.0
	innerWidth                        = plotWidth - marginLeft - 10
	innerHeight                       = plotHeight - marginTop - marginDown
)

// plot is what the template draws.
type plot struct {
	Width, Height string
	Label         string // for readers who do not see it
	Bars          []bar
	X, Y          []tick
	Left, Right   string // ends of the axes
	Top, Bottom   string
	Line          string // points of a line
}

type bar struct{ X, Y, W, H, Class, Title string }

type tick struct{ At, Text string }

func px(x float64) string { return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64) }

func newPlot(label string) *plot {
	return &plot{Width: px(plotWidth), Height: px(plotHeight), Label: label, Left: px(marginLeft),
		Right: px(marginLeft + innerWidth), Top: px(marginTop), Bottom: px(marginTop + innerHeight)}
}

// newHistogram draws bins as bars of equal width, named by their edges.
func newHistogram(d *Distribution, label string) *plot {
	p := newPlot(label)
	if d == nil || len(d.Bins) == 0 {
		return p
	}
	p.bars(d.Bins, func(b Bin, last bool) string {
		if b.To-b.From == 1 && b.From == math.Trunc(b.From) && !last {
			return num(b.From)
		}
		return num(b.From) + " to " + num(b.To)
	})
	each := (len(d.Bins) + 7) / 8
	middle := 0.0 // a number is below its bar, an edge between bars
	if d.Bins[0].To-d.Bins[0].From == 1 {
		middle = .5
	}
	for i := 0; i < len(d.Bins); i += each {
		p.X = append(p.X, tick{px(marginLeft + (float64(i)+middle)*innerWidth/float64(len(d.Bins))), num(d.Bins[i].From)})
	}
	return p
}

func (p *plot) bars(bins []Bin, name func(b Bin, last bool) string) {
	total, most := 0, 0
	for _, b := range bins {
		total, most = total+b.Count, max(most, b.Count)
	}
	top := p.countAxis(most)
	w := innerWidth / float64(len(bins))
	for i, b := range bins {
		if b.Count == 0 {
			continue
		}
		h := max(innerHeight*float64(b.Count)/top, .8) // what is there is seen
		p.Bars = append(p.Bars, bar{X: px(marginLeft + float64(i)*w + min(1, w/10)), Y: px(marginTop + innerHeight - h), W: px(max(w-min(2, w/5), .3)), H: px(h),
			Title: fmt.Sprintf("%s: %s (%s)", name(b, i == len(bins)-1), count(b.Count), percent(b.Count, total))})
	}
}

// countAxis puts round numbers at the left and returns the number at the top.
func (p *plot) countAxis(most int) float64 {
	step := 1.0
	for m := 0; step*4 < float64(most); m++ {
		step = []float64{1, 2, 5}[m%3] * math.Pow(10, float64(m/3))
	}
	top := max(math.Ceil(float64(most)/step)*step, 1)
	for y := 0.0; y <= top; y += step {
		p.Y = append(p.Y, tick{px(marginTop + innerHeight*(1-y/top)), num(y)})
	}
	return top
}

// newLogPlot draws popularity by rank, both by their logarithm.
func newLogPlot(points []RankPoint, label string) *plot {
	p := newPlot(label)
	if len(points) == 0 {
		return p
	}
	last := points[len(points)-1]
	x := axis(1, float64(last.Rank), marginLeft, marginLeft+innerWidth)
	y := axis(last.Popularity, points[0].Popularity, marginTop+innerHeight, marginTop)
	var line strings.Builder
	for i, at := range points {
		if i > 0 {
			line.WriteByte(' ')
		}
		fmt.Fprintf(&line, "%s,%s", px(x.at(float64(at.Rank))), px(y.at(at.Popularity)))
	}
	p.Line = line.String()
	p.X, p.Y = x.ticks(), y.ticks()
	return p
}

// logAxis maps powers of ten to a plot.
type logAxis struct{ low, high, from, to float64 }

func axis(low, high, from, to float64) logAxis {
	a := logAxis{math.Floor(math.Log10(low)), math.Ceil(math.Log10(high)), from, to}
	a.high = max(a.high, a.low+1)
	return a
}

func (a logAxis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.low)/(a.high-a.low)*(a.to-a.from)
}

func (a logAxis) ticks() (t []tick) {
	step := max(1, math.Ceil((a.high-a.low)/6))
	for e := a.low; e <= a.high; e += step {
		v := math.Pow(10, e)
		t = append(t, tick{px(a.at(v)), num(v)})
	}
	return t
}

// overlapHistogram draws the shares of one label, for a plot beside others.
func overlapHistogram(r *Report, o Overlap) *plot {
	p := newPlot("Share of the query's words in the title, label " + o.Label)
	var bins []Bin
	for i, n := range o.Bins {
		bins = append(bins, Bin{float64(10 * i), float64(10*i + 10), n})
	}
	p.bars(bins, func(b Bin, last bool) string {
		if last {
			return "all words"
		}
		return fmt.Sprintf("%.0f to below %.0f\u202f%%", b.From, b.To)
	})
	for i := range p.Bars {
		p.Bars[i].Class = r.class(o.Label)
	}
	for i := 0; i <= 10; i += 2 {
		p.X = append(p.X, tick{px(marginLeft + (float64(i)+.5)*innerWidth/11), fmt.Sprintf("%d\u202f%%", 10*i)})
	}
	return p
}

// segment is a part of a stacked bar.
type segment struct {
	W           float64 // percent
	Class, Text string
	Title       string
}

func newStack(r *Report, l Labels) []segment {
	var segments []segment
	for _, part := range l.Counts {
		w := 100 * ratio(part.Count, l.Total())
		s := segment{W: math.Round(100*w) / 100, Class: r.class(part.Label), Title: fmt.Sprintf("%s: %s (%s)", labelName(part.Label), count(part.Count), percent(part.Count, l.Total()))}
		if w >= 6 {
			s.Text = part.Label
		}
		if part.Count > 0 {
			segments = append(segments, s)
		}
	}
	return segments
}

// labelName is what people call a label.
func labelName(label string) string {
	if name, ok := map[string]string{"E": "Exact", "S": "Substitute", "C": "Complement", "I": "Irrelevant"}[label]; ok {
		return name
	}
	return label
}

// class is the colour of a label: one of four, from the best to the worst.
func (r *Report) class(label string) string {
	list := r.Labels[0].Counts
	at := slices.IndexFunc(list, func(c LabelCount) bool { return c.Label == label })
	switch {
	case label == pooled:
		return "U"
	case at == 0:
		return "E"
	case at == len(list)-1:
		return "I"
	case 2*at < len(list):
		return "S"
	}
	return "C"
}

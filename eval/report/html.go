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
	"prose":    prose,
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
	// Unmeasured says that there are no metrics, only how alike the rankings are.
	Unmeasured bool
	Leaks      bool
	Seen       *taskView
	Fusion     *fusionView
	Queries    []queryView
	Metrics    []definition
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
	v := &view{Report: r, Faults: faultsText(r), Unmeasured: len(r.Tasks) == 0}
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
		list = append(list, verdict{prose(text), outcomeClass(outcome), outcome})
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
	if r.Judgments.Count == 0 {
		v.Tiles = []tile{{count(r.Judgments.Queries), "queries"}}
	}
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

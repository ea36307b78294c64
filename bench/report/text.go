// Package report writes what package bench measured, for people: tables for a
// terminal, and a page with plots.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trirank/trirank/bench"
)

// shownRows bounds a table on a terminal; a longer one is cut to what no other
// configuration beats, and the best of each kind of index.
const shownRows = 24

// Text writes a report for a terminal.
func Text(w io.Writer, r *bench.Report) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s of %s\n%s\n", r.Title, r.Subject, machine(r))
	for _, n := range r.Notes {
		fmt.Fprintf(b, "! %s\n", n)
	}
	for i := range r.Sections {
		s := &r.Sections[i]
		fmt.Fprintf(b, "\n%s\n", s.Title)
		rows, left := s.Results, 0
		if len(rows) > shownRows {
			if best := fronts(s); len(best) > 0 {
				if c := s.Choice; c != nil && !has(best, &c.Chosen) {
					best = append(best, c.Chosen)
				}
				best = append(best, absent(s, best)...)
				rows, left = best, len(rows)-len(best)
			}
		}
		table(b, rows, firstName(s))
		if left > 0 {
			fmt.Fprintf(b, "  and %d more, on no Pareto front: %s\n", left, strings.Join(frontTitles(s), "; "))
		}
		if s.Waterfall != nil {
			waterfall(b, s.Waterfall)
		}
		if c := s.Choice; c != nil {
			fmt.Fprintf(b, "  %s: %s\n", strings.TrimPrefix(c.Chosen.String(), "Search/"), c.Evidence)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func has(list []bench.Result, r *bench.Result) bool {
	return slices.ContainsFunc(list, func(x bench.Result) bool { return x.String() == r.String() })
}

// kind is the family of a result's index: HNSW of HNSW32. It is empty where the result
// is of no index.
func kind(r *bench.Result) string {
	return r.Param("index")[:len(r.Param("index"))-len(strings.TrimLeft(r.Param("index"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))]
}

// absent returns the best result, by relevance, then recall, then time, of each kind of
// index that shown has none of: a kind that is always beaten has to be seen to be.
func absent(s *bench.Section, shown []bench.Result) (out []bench.Result) {
	for i := range s.Results {
		r := &s.Results[i]
		if slices.ContainsFunc(shown, func(x bench.Result) bool { return kind(&x) == kind(r) }) {
			continue
		}
		at := slices.IndexFunc(out, func(x bench.Result) bool { return kind(&x) == kind(r) })
		switch {
		case at < 0:
			out = append(out, *r)
		case better(r, &out[at]):
			out[at] = *r
		}
	}
	return out
}

func better(a, b *bench.Result) bool {
	for _, m := range []struct {
		unit string
		sign float64
	}{{bench.Quality, 1}, {"recall@10", 1}, {bench.Median, -1}} {
		x, _ := a.Metric(m.unit)
		y, _ := b.Metric(m.unit)
		if x != y {
			return m.sign*x > m.sign*y
		}
	}
	return false
}

// firstName names the result of a section that the others are compared with.
func firstName(s *bench.Section) string {
	if len(s.Results) == 0 {
		return ""
	}
	r := &s.Results[0]
	if len(r.Params) == 0 {
		return r.Name
	}
	return r.Params[0].Value
}

func machine(r *bench.Report) string {
	m := r.Machine
	text := fmt.Sprintf("%s, %d cores, %s, %s", m.Processor, m.Cores, m.System, m.Program)
	if m.Commit != "" {
		text += " " + m.Commit
	}
	return text + ", " + r.Date.Format(time.DateOnly)
}

// fronts returns the results that are on the front of one of the section's plots.
func fronts(s *bench.Section) (out []bench.Result) {
	on := make([]bool, len(s.Results))
	for _, p := range s.Plots {
		if !p.Front {
			continue
		}
		var some []bench.Result
		var at []int
		for i := range s.Results {
			if p.Includes(&s.Results[i]) {
				some, at = append(some, s.Results[i]), append(at, i)
			}
		}
		for i, front := range bench.Front(some, p.X, p.Y) {
			on[at[i]] = on[at[i]] || front
		}
	}
	for i, r := range s.Results {
		if on[i] {
			out = append(out, r)
		}
	}
	return out
}

// frontTitles names the plots of a section that have fronts.
func frontTitles(s *bench.Section) (out []string) {
	for i := range s.Plots {
		if s.Plots[i].Front {
			out = append(out, title(&s.Plots[i]))
		}
	}
	return out
}

// title says what a plot shows.
func title(p *bench.Plot) string {
	t := unitName(p.Y) + " against " + unitName(p.X)
	if key, value, ok := strings.Cut(p.Where, "="); ok {
		t += ", " + key + " " + value
	}
	return t
}

// columns are the keys and units of results, in the order of those with the most.
func columns(results []bench.Result) (keys, units []string) {
	seen := map[string]bool{}
	most := slices.SortedStableFunc(slices.Values(results), func(a, b bench.Result) int {
		return len(b.Params) + len(b.Metrics) - len(a.Params) - len(a.Metrics)
	})
	for _, r := range most {
		for _, p := range r.Params {
			if !seen["k"+p.Key] {
				seen["k"+p.Key] = true
				keys = append(keys, p.Key)
			}
		}
		for _, m := range r.Metrics {
			if !seen["u"+m.Unit] {
				seen["u"+m.Unit] = true
				units = append(units, m.Unit)
			}
		}
	}
	return keys, units
}

func table(w io.Writer, results []bench.Result, first string) {
	if len(results) == 0 {
		return
	}
	keys, units := columns(results)
	t := tabwriter.NewWriter(w, 0, 1, 2, ' ', tabwriter.AlignRight)
	line := func(cells []string) { fmt.Fprintln(t, "\t"+strings.Join(cells, "\t")+"\t") }
	head := append([]string{}, keys...)
	for _, u := range units {
		head = append(head, unitName(u))
	}
	against := false
	for _, r := range results {
		against = against || r.Against != nil
	}
	if against {
		head = append(head, bench.Quality+" - "+first)
	}
	line(head)
	for i := range results {
		r := &results[i]
		cells := []string{}
		for _, k := range keys {
			cells = append(cells, r.Param(k))
		}
		for _, u := range units {
			cells = append(cells, value(r, u))
		}
		if against {
			cells = append(cells, difference(r))
		}
		line(cells)
	}
	t.Flush()
}

// unitName is a unit as people read it: times are shown in milliseconds.
func unitName(unit string) string {
	if name, ok := strings.CutSuffix(unit, "-ns"); ok {
		return name + " ms"
	}
	return unit
}

// value writes a metric of a result, a dash where there is none.
func value(r *bench.Result, unit string) string {
	v, ok := r.Metric(unit)
	if !ok {
		return "-"
	}
	return number(unit, v)
}

func number(unit string, v float64) string {
	switch {
	case strings.HasSuffix(unit, "-ns"):
		return significant(v / 1e6)
	case strings.HasPrefix(unit, "recall"), strings.HasPrefix(unit, "ndcg"):
		return fmt.Sprintf("%.3f", v)
	}
	return significant(v)
}

// significant writes three digits, more before the point.
func significant(v float64) string {
	if v == 0 || math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.*f", max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), v)
}

func difference(r *bench.Result) string {
	c := r.Against
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%+.4f [%+.4f, %+.4f]", float64(c.Difference), float64(c.Low), float64(c.High))
}

func waterfall(w io.Writer, f *bench.Waterfall) {
	t := tabwriter.NewWriter(w, 0, 1, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tstep\tindex\trecall@10\tlost\t"+bench.Quality+"\tagainst the step before\tp50 ms\tbytes/vector\t")
	for i := range f.Steps {
		s := &f.Steps[i]
		r := s.Result
		r.Against = s.Lost
		lost := ""
		if i > 0 {
			lost = fmt.Sprintf("%.3f", s.LostRecall)
		}
		index := r.Param("index")
		if n := r.Param("nprobe"); n != "" {
			index += " nprobe " + n
		}
		fmt.Fprintf(t, "\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", s.Name, index, value(&r, "recall@10"), lost, value(&r, bench.Quality), difference(&r), value(&r, bench.Median), value(&r, bench.VectorBytes))
	}
	t.Flush()
}

// Package report writes an evaluation as people and their tools read it: a page
// for a meeting, a summary for a terminal, tables for pull requests and papers,
// and lines for benchstat. It computes no statistics; what it shows is in the
// report.
//
// All functions are deterministic, change nothing of the report, and escape what
// they take from it: titles and queries are written by strangers.
package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/trirank/trirank/eval"
)

// none stands for a number that does not exist.
const none = "–"

// minus is as wide as a plus sign, which a hyphen is not.
const minus = "−"

var nan = eval.Number(math.NaN())

// value prints a number with three decimals and, as papers do, without the zero
// before the point.
func value(x eval.Number) string { return decimals(x, 3) }

func decimals(x eval.Number, digits int) string {
	v := float64(x)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	s := strconv.FormatFloat(math.Abs(v), 'f', digits, 64)
	if zero := !strings.ContainsAny(s, "123456789"); v < 0 && !zero {
		return minus + strings.TrimPrefix(s, "0")
	}
	return strings.TrimPrefix(s, "0")
}

// signed is value with a plus where it is one.
func signed(x eval.Number) string {
	s := value(x)
	if x > 0 && strings.ContainsAny(s, "123456789") {
		return "+" + s
	}
	return s
}

var hyphenMinus = regexp.MustCompile(`(^|[\s\[(])-([0-9.])`)

// prose makes a verdict ready for a page: its numbers get the sign that the tables
// have. A hyphen within a name, such as e5-2, is none.
func prose(s string) string { return hyphenMinus.ReplaceAllString(clean(s), "${1}"+minus+"${2}") }

func interval(low, high eval.Number) string {
	if !low.Exists() && !high.Exists() {
		return none
	}
	return "[" + value(low) + ", " + value(high) + "]"
}

func signedInterval(low, high eval.Number) string {
	if !low.Exists() && !high.Exists() {
		return none
	}
	return "[" + signed(low) + ", " + signed(high) + "]"
}

// probability prints a p-value.
func probability(p eval.Number) string {
	if p < .001 { // not true of NaN
		return "< .001"
	}
	return value(p)
}

// equals puts the sign before what probability prints: "p = .002", "p < .001".
func equals(name string, p eval.Number) string {
	s := probability(p)
	if !strings.HasPrefix(s, "<") {
		s = "= " + s
	}
	return name + " " + s
}

// number prints what may be of any size, with four digits.
func number(x float64) string {
	a := math.Abs(x)
	var s string
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return none
	case x == math.Trunc(x) && a < 1e6:
		s = strconv.FormatFloat(a, 'f', -1, 64)
	case a >= 1e6 || a < 1e-4:
		s = strconv.FormatFloat(a, 'g', 4, 64)
	default:
		s = strconv.FormatFloat(a, 'f', max(0, 3-int(math.Floor(math.Log10(a)))), 64)
		if strings.Contains(s, ".") {
			s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
		}
		s = strings.TrimPrefix(s, "0")
	}
	if x < 0 {
		return minus + s
	}
	return s
}

// grouped spells n with a separator between thousands.
func grouped(n int, separator string) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + separator + s[i:]
	}
	return s
}

// count spells n with thin spaces that do not break.
func count(n int) string { return grouped(n, "\u202f") }

// percentage spells a share.
func percentage(x float64) string {
	return strconv.FormatFloat(math.Round(1000*x)/10, 'f', -1, 64) + "\u202f%"
}

// plural spells a number of things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// clean makes text safe to show in a line: what would steer a terminal or turn
// the direction of the text is shown as a sign.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case r < 0x20:
			return 0x2400 + r // the picture of the character
		case r == 0x7f:
			return 0x2421
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// deciding is the metric of a task that verdicts rest on.
func deciding(t *eval.Task) string {
	if len(t.Metrics) == 0 {
		return ""
	}
	return t.Metrics[0].Metric
}

// comparisons returns those of t by one metric: none by one that no query has.
func comparisons(t *eval.Task, metric string) (list []eval.Comparison) {
	for _, c := range t.Comparisons {
		if c.Metric == metric && (c.Queries > 0 || c.Difference.Exists()) {
			list = append(list, c)
		}
	}
	return list
}

// headline is the comparison that the report is about, nil if there is none.
func headline(r *eval.Report) (*eval.Task, *eval.Comparison) {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		list := comparisons(t, deciding(t))
		for j := range list {
			if c := &list[j]; c.A == r.Baseline && c.B == r.Candidate || c.A == r.Candidate && c.B == r.Baseline {
				return t, c
			}
		}
		if len(list) > 0 && (r.Baseline == "" || r.Candidate == "") {
			return t, &list[0]
		}
	}
	return nil, nil
}

// best marks the systems with the greatest mean, as it is printed: what is not
// seen to differ is not told apart.
func best(m *eval.MetricInfo) []bool {
	marks := make([]bool, len(m.Values))
	top := math.Inf(-1)
	exist := 0
	for _, v := range m.Values {
		if v.Mean.Exists() {
			exist++
			top = max(top, float64(v.Mean))
		}
	}
	if m.Neutral || exist < 2 {
		return marks
	}
	for i, v := range m.Values {
		marks[i] = v.Mean.Exists() && value(v.Mean) == value(eval.Number(top))
	}
	if !slices.Contains(marks, false) {
		clear(marks) // all the best is none
	}
	return marks
}

// faultsText says what was wrong with the judgements, empty if nothing was.
func faultsText(r *eval.Report) string {
	f := r.Judgments.Faults
	if f.Count == 0 {
		return ""
	}
	var kinds []string
	for k, n := range f.ByKind {
		kinds = append(kinds, fmt.Sprintf("%s: %d", k, n))
	}
	slices.Sort(kinds)
	return "What was wrong with " + plural(f.Count, "judgement", "judgements") + " (" + strings.Join(kinds, ", ") + ")"
}

// confidence spells the level of intervals: "95 %".
func confidence(r *eval.Report) string { return percentage(r.Options.Confidence) }

// leaks reports whether a model saw anything of the judgements in training.
func leaks(r *eval.Report) bool {
	return r.Leakage != nil && (r.Leakage.Seen != nil || slices.ContainsFunc(r.Leakage.Systems, func(s eval.LeakageSystem) bool { return s.Queries > 0 || s.Products > 0 }))
}

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/eval"
)

// DiffText writes what changed between two evaluations for a terminal: what makes
// the two unlike, the metrics that decide or that a condition speaks of, and the
// conditions.
func DiffText(w io.Writer, d *eval.DiffReport) error {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
	line("%s -> %s", clean(d.A), clean(d.B))
	for _, u := range d.Unlike {
		line("not like for like: %s", clean(u))
	}
	for _, c := range d.Changed {
		line("  %s", clean(c))
	}
	for _, q := range paired(d) {
		line("  %s", clean(q))
	}
	line("")
	rows := [][]string{{"task", "system", "metric", "change", "95 % interval", "p", "win / tie / loss"}}
	shownRows(d, func(s *eval.SystemDiff, c *eval.MetricDiff) {
		rows = append(rows, []string{clean(s.Task), clean(s.System), clean(c.Metric), ascii(signed(c.Difference)), ascii(signedInterval(c.Low, c.High)), probability(c.P),
			fmt.Sprintf("%d / %d / %d", c.Wins, c.Ties, c.Losses)})
	})
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			if i == 3 || i > 4 { // numbers stand to the right
				widths[i] = -max(widths[i], -widths[i])
			}
			row[i] = pad(cell, widths[i])
		}
		line("%s", strings.Join(row, "  "))
	}
	for _, x := range []struct {
		mark  string
		texts []string
	}{{"", d.Missing}, {"passed: ", d.Passed}, {"FAILED: ", d.Failed}} {
		for _, t := range x.texts {
			line("%s%s", x.mark, clean(t))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// DiffMarkdown writes the same for a pull request, what failed first.
func DiffMarkdown(w io.Writer, d *eval.DiffReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Rankings: %s against %s\n\n", markdown(d.B), markdown(d.A))
	for _, f := range d.Failed {
		fmt.Fprintf(&b, "- **FAILED** %s\n", markdown(prose(f)))
	}
	if len(d.Failed) > 0 {
		b.WriteString("\n")
	}
	for i, u := range d.Unlike {
		if i > 0 {
			b.WriteString(">\n")
		}
		fmt.Fprintf(&b, "> **not like for like** %s\n", markdown(u))
	}
	if len(d.Unlike) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("| task | system | metric | before | after | change | 95 % interval | p | wins / ties / losses |\n|---|---|---|---:|---:|---:|:---:|---:|:---:|\n")
	shownRows(d, func(s *eval.SystemDiff, c *eval.MetricDiff) {
		change := signed(c.Difference)
		if c.Outcome == eval.Better || c.Outcome == eval.Worse {
			change = "**" + change + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %d / %d / %d |\n", markdown(s.Task), markdown(s.System), markdown(title(c.Metric)), value(c.Before), value(c.After), change,
			markdown(signedInterval(c.Low, c.High)), markdown(probability(c.P)), c.Wins, c.Ties, c.Losses)
	})
	b.WriteString("\n")
	for _, list := range [][]string{paired(d), d.Missing, d.Changed} {
		for _, text := range list {
			fmt.Fprintf(&b, "- %s\n", markdown(text))
		}
	}
	for _, p := range d.Passed {
		fmt.Fprintf(&b, "- passed: %s\n", markdown(prose(p)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shownRows calls f with the metrics that a summary has.
func shownRows(d *eval.DiffReport, f func(*eval.SystemDiff, *eval.MetricDiff)) {
	for i := range d.Systems {
		s := &d.Systems[i]
		for j := range s.Comparisons {
			if c := &s.Comparisons[j]; c.Shown {
				f(s, c)
			}
		}
	}
}

// paired says which queries were compared, once where systems have the same.
func paired(d *eval.DiffReport) (texts []string) {
	for _, s := range d.Systems {
		text := fmt.Sprintf("%s: %s in both", s.Task, textPlural(s.Queries, "query", "queries"))
		if s.OnlyInA > 0 || s.OnlyInB > 0 {
			text += fmt.Sprintf(", %s only in %s, %s only in %s", grouped(s.OnlyInA, ","), d.A, grouped(s.OnlyInB, ","), d.B)
		}
		if s.ByID > 0 {
			text += fmt.Sprintf("; %s paired by id alone, since one side has no text", grouped(s.ByID, ","))
		}
		if s.ByText > 0 {
			text += fmt.Sprintf("; %s paired by text alone, since the ids differ", grouped(s.ByText, ","))
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

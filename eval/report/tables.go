package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/trirank/trirank/eval"
)

// Markdown writes verdicts, notes and a table for each task, short enough for a
// pull request: metrics down, systems across, intervals behind the means.
func Markdown(w io.Writer, r *eval.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Evaluation of %s\n\n", markdown(r.Name))
	for i, v := range verdicts(r) {
		text := markdown(v.Text)
		if v.Outcome != "" {
			text = "**" + v.Outcome + "**: " + text
		}
		if i == 0 {
			fmt.Fprintf(&b, "%s\n\n", text)
			continue
		}
		fmt.Fprintf(&b, "- %s\n", text)
		if i == len(r.Verdicts)-1 {
			b.WriteString("\n")
		}
	}
	for i, n := range r.Notes {
		if i > 0 {
			b.WriteString(">\n")
		}
		fmt.Fprintf(&b, "> %s\n", markdown(n))
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n")
	}
	for i := range r.Tasks {
		markdownTask(&b, r, &r.Tasks[i])
	}
	fmt.Fprintf(&b, "<sub>%s of %s", plural(r.Judgments.Count, "judgement", "judgements"), plural(r.Judgments.Queries, "query", "queries"))
	if r.Options.Split != "" {
		fmt.Fprintf(&b, ", split %s", markdown(r.Options.Split))
	}
	fmt.Fprintf(&b, ", `%.12s`", code(r.Judgments.Hash))
	if r.Index != nil {
		fmt.Fprintf(&b, "; index `%.12s`", code(r.Index.Hash))
	}
	fmt.Fprintf(&b, "; seed %d, %s draws, %s intervals; p after Holm's correction; trirank %s</sub>\n", r.Options.Seed, count(r.Options.Draws), confidence(r), markdown(r.Program))
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownTask(b *strings.Builder, r *eval.Report, t *eval.Task) {
	floors := false
	for _, m := range t.Metrics {
		floors = floors || m.Random.Exists()
	}
	fmt.Fprintf(b, "### %s\n\n| %s |", markdown(t.Title), plural(t.Queries, "query", "queries"))
	for _, s := range r.Systems {
		fmt.Fprintf(b, " %s |", markdown(s.Name))
	}
	rule := "|---|" + strings.Repeat("---:|", len(r.Systems))
	if floors {
		b.WriteString(" random |")
		rule += "---:|"
	}
	b.WriteString("\n" + rule + "\n")
	for i := range t.Metrics {
		m := &t.Metrics[i]
		marks := best(m)
		fmt.Fprintf(b, "| %s |", markdown(titleOf(m)))
		for j := range r.Systems {
			v := at(m.Values, j)
			mean := value(v.Mean)
			if j < len(marks) && marks[j] {
				mean = "**" + mean + "**"
			}
			if v.Low.Exists() || v.High.Exists() {
				mean += " " + markdown(interval(v.Low, v.High))
			}
			fmt.Fprintf(b, " %s |", mean)
		}
		if floors {
			fmt.Fprintf(b, " %s |", markdown(floor(m.Random)))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	list := comparisons(t, deciding(t))
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "| %s | difference | interval | p | wins / ties / losses | outcome |\n|---|---:|:---:|---:|:---:|---|\n", markdown(title(deciding(t))))
	for _, c := range list {
		fmt.Fprintf(b, "| %s against %s | %s | %s | %s | %d / %d / %d | %s |\n", markdown(c.B), markdown(c.A), signed(c.Difference),
			markdown(signedInterval(c.Low, c.High)), markdown(probability(c.PHolm)), c.Wins, c.Ties, c.Losses, markdown(c.Outcome))
	}
	b.WriteString("\n")
}

// markdown escapes text for one line, a table's cells included.
func markdown(s string) string {
	var b strings.Builder
	for _, c := range clean(s) {
		switch c {
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '\\', '`', '*', '_', '{', '}', '[', ']', '|', '#', '~', '$':
			b.WriteByte('\\')
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// code makes text fit between backquotes.
func code(s string) string { return strings.Map(dropMarks, clean(s)) }

func dropMarks(c rune) rune {
	if c == '`' || c == '|' || c == '<' {
		return -1
	}
	return c
}

// LaTeX writes a table for each task, and one of the comparisons by the deciding
// metric. They need the package booktabs. The best system of each metric is bold;
// a dagger marks what differs from the baseline with a corrected p-value below
// one minus the confidence.
func LaTeX(w io.Writer, r *eval.Report) error {
	var b strings.Builder
	b.WriteString("% \\usepackage{booktabs}\n")
	for i := range r.Tasks {
		latexTask(&b, r, &r.Tasks[i])
	}
	for i := range r.Tasks {
		latexCompared(&b, r, &r.Tasks[i])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func latexTask(b *strings.Builder, r *eval.Report, t *eval.Task) {
	daggers, floors := false, false
	for _, m := range t.Metrics {
		floors = floors || m.Random.Exists()
	}
	var body strings.Builder
	for i := range t.Metrics {
		m := &t.Metrics[i]
		marks := best(m)
		body.WriteString(latex(titleOf(m)))
		for j, s := range r.Systems {
			mean := latexNumber(value(at(m.Values, j).Mean))
			if j < len(marks) && marks[j] {
				mean = `\textbf{` + mean + `}`
			}
			if !m.Neutral && significant(r, t, m.Metric, s.Name) {
				mean += `\rlap{$^\dagger$}`
				daggers = true
			}
			body.WriteString(" & " + mean)
		}
		if floors {
			body.WriteString(" & " + latexNumber(floor(m.Random)))
		}
		body.WriteString(" \\\\\n")
	}
	fmt.Fprintf(b, "\n\\begin{table}\n\\centering\n\\caption{%s, means over %s.", latex(t.Title), latex(plural(t.Queries, "query", "queries")))
	if len(r.Systems) > 1 {
		b.WriteString(" Bold: the best system.")
	}
	if daggers {
		fmt.Fprintf(b, " $^\\dagger$~differs from %s (paired randomisation test, two-sided, Holm-corrected over all pairs, $p < %s$).", latex(r.Baseline), strings.TrimRight(value(eval.Number(1-r.Options.Confidence)), "0"))
	}
	columns := "l" + strings.Repeat("r", len(r.Systems))
	if floors {
		b.WriteString(" Random: expected of a random order.")
		columns += "r"
	}
	fmt.Fprintf(b, "}\n\\label{tab:eval-%s}\n\\begin{tabular}{%s}\n\\toprule\nMetric", label(t.Name), columns)
	for _, s := range r.Systems {
		b.WriteString(" & " + latex(s.Name))
	}
	if floors {
		b.WriteString(" & Random")
	}
	fmt.Fprintf(b, " \\\\\n\\midrule\n%s\\bottomrule\n\\end{tabular}\n\\end{table}\n", body.String())
}

func latexCompared(b *strings.Builder, r *eval.Report, t *eval.Task) {
	list := comparisons(t, deciding(t))
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n\\begin{table}\n\\centering\n\\caption{%s: differences in %s with %s bootstrap intervals; $p$ of the paired randomisation test, Holm-corrected; effect: mean over standard deviation of the differences; W/T/L: queries won, tied (within %s) and lost.}\n",
		latex(t.Title), latex(title(deciding(t))), latex(confidence(r)), latexNumber(number(r.Options.Tie)))
	fmt.Fprintf(b, "\\label{tab:eval-%s-differences}\n\\begin{tabular}{llrcrrr}\n\\toprule\nSystem & Against & Difference & Interval & $p$ & Effect & W/T/L \\\\\n\\midrule\n", label(t.Name))
	for _, c := range list {
		fmt.Fprintf(b, "%s & %s & %s & %s & %s & %s & %d/%d/%d \\\\\n", latex(c.B), latex(c.A), latexNumber(signed(c.Difference)), latexNumber(signedInterval(c.Low, c.High)),
			latexNumber(probability(c.PHolm)), latexNumber(signed(c.Effect)), c.Wins, c.Ties, c.Losses)
	}
	b.WriteString("\\bottomrule\n\\end{tabular}\n\\end{table}\n")
}

// significant reports whether a system differs from the baseline.
func significant(r *eval.Report, t *eval.Task, metric, system string) bool {
	if r.Baseline == "" || system == r.Baseline {
		return false
	}
	for _, c := range t.Comparisons {
		if c.Metric == metric && (c.A == r.Baseline && c.B == system || c.B == r.Baseline && c.A == system) {
			return float64(c.PHolm) < 1-r.Options.Confidence
		}
	}
	return false
}

var latexEscapes = strings.NewReplacer(
	`\`, `\textbackslash{}`, `&`, `\&`, `%`, `\%`, `$`, `\$`, `#`, `\#`, `_`, `\_`, `{`, `\{`, `}`, `\}`, `~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`,
	`<`, `\textless{}`, `>`, `\textgreater{}`, `|`, `\textbar{}`, `"`, "''", "[", "{[}", "]", "{]}",
	"\u202f", `\,`, "\u00a0", "~", minus, `$-$`, none, "--", "—", "---", "±", `$\pm$`, "×", `$\times$`, "≥", `$\geq$`, "≤", `$\leq$`, "…", `\dots{}`)

// latex escapes text. A bracket in braces is none after a line break, where it
// would be an argument.
func latex(s string) string { return latexEscapes.Replace(clean(s)) }

// latexNumber sets the signs of a number; the digits are text, which can be bold.
func latexNumber(s string) string {
	return strings.NewReplacer(minus, "$-$", "<", "$<$", none, "--").Replace(s)
}

// label makes a name safe within a reference.
func label(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(s))
}

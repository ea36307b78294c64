package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/eval"
)

// textWidth is the width of the summary in columns.
const textWidth = 100

// How many lines verdicts and notes may take, so that the summary stays in view. The
// verdicts are what is asked for: they have room for six as they are, and each is told
// whole, unless names in it are as long as lines.
const (
	textVerdictLines = 18
	textVerdictEach  = 8
	textNoteLines    = 6
	textNoteEach     = 3
)

// Text writes the summary that a terminal shows: what was found, what to be
// careful about, and the table behind it. It has no more than 60 lines of 100
// columns where there are two tasks and six systems.
func Text(w io.Writer, r *eval.Report) error {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, "%s\n", clip(fmt.Sprintf(format, args...), textWidth))
	}
	facts := []string{textPlural(r.Judgments.Queries, "query", "queries"), textPlural(r.Judgments.Count, "judgement", "judgements")}
	if r.Index != nil {
		facts = append(facts, textPlural(r.Index.Products, "product", "products"))
	}
	line("Evaluation of %s: %s", clean(r.Name), strings.Join(facts, ", "))
	if len(r.Verdicts) > 0 {
		line("")
	}
	list(&b, "  ", r.Verdicts, textVerdictLines, textVerdictEach, "verdict")
	if len(r.Notes) > 0 {
		line("")
	}
	list(&b, "! ", r.Notes, textNoteLines, textNoteEach, "note")
	for i := range r.Tasks {
		t := &r.Tasks[i]
		line("")
		line("%s (%s)", clean(t.Title), textPlural(t.Queries, "query", "queries"))
		textMetrics(r, t, line)
		most := 6
		switch {
		case i > 0:
			most = 2
		case len(r.Systems) > 4:
			most = 4
		}
		textCompared(r, t, most, line)
	}
	textFusion(&b, r, line)
	_, err := io.WriteString(w, b.String())
	return err
}

// textFusion says which fusion was chosen, and whether it is worth having.
func textFusion(b *strings.Builder, r *eval.Report, line func(string, ...any)) {
	f := r.Fusion
	if f == nil {
		return
	}
	line("")
	line("Fusion chosen on %s: %s", textPlural(f.Dev, "query", "queries"), clean(f.Chosen))
	for _, s := range f.Settings {
		if s.Fusion == f.Chosen {
			line("  %s there %s, by cross-validation %s, on %s %s", title(f.Metric), ascii(value(s.Dev)), ascii(value(f.CrossValidated)), textPlural(f.Test, "other", "others"), ascii(value(s.Test)))
		}
	}
	if f.Comparison != nil {
		list(b, "  ", []string{f.Comparison.Verdict}, textVerdictEach, textVerdictEach, "verdict")
	}
}

func textPlural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n, ",") + " " + many
}

// ascii undoes what only a page can show well.
func ascii(s string) string { return strings.NewReplacer(minus, "-", "\u202f", " ").Replace(s) }

// list writes texts behind a mark, wrapped, each to a number of lines, as many as there
// is room for.
func list(b *strings.Builder, mark string, texts []string, room, each int, what string) {
	for i, t := range texts {
		lines := wrap(ascii(clean(t)), textWidth-len(mark))
		if len(lines) > each { // the rest is in the page
			lines = lines[:each]
			lines[each-1] = clip(lines[each-1]+" …", textWidth-len(mark))
		}
		if rest := len(texts) - i; len(lines) > room || len(lines) == room && rest > 1 {
			fmt.Fprintf(b, "%sand %s\n", strings.Repeat(" ", len(mark)), textPlural(rest, "more "+what, "more "+what+"s"))
			return
		}
		room -= len(lines)
		before := mark
		for _, l := range lines {
			fmt.Fprintf(b, "%s%s\n", before, l)
			before = strings.Repeat(" ", len(mark))
		}
	}
}

// wrap breaks text at spaces, and within words that are too long.
func wrap(s string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(s) {
		for utf8.RuneCountInString(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			cut := string([]rune(word)[:width])
			lines, word = append(lines, cut), word[len(cut):]
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// clip cuts a line that is too long.
func clip(s string, width int) string {
	s = strings.TrimRight(s, " ")
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// pad fills up to a width, to the left if it is negative.
func pad(s string, width int) string {
	fill := strings.Repeat(" ", max(0, max(width, -width)-utf8.RuneCountInString(s)))
	if width < 0 {
		return fill + s
	}
	return s + fill
}

// textMetrics writes as many metrics as fit, the deciding one with its interval.
func textMetrics(r *eval.Report, t *eval.Task, line func(string, ...any)) {
	first := len("random order")
	for _, s := range r.Systems {
		first = max(first, utf8.RuneCountInString(clean(s.Name)))
	}
	first = min(first, 24)
	type column struct {
		m     *eval.MetricInfo
		width int
	}
	var columns []column
	var deciding []string // the first column's cells
	left := textWidth - 2 - first
	for _, m := range textColumns(r, t) {
		c := column{m, max(7, 2+utf8.RuneCountInString(titleOf(m)))}
		if len(columns) == 0 {
			for i := range r.Systems {
				v := at(m.Values, i)
				deciding = append(deciding, ascii(value(v.Mean)+"  "+interval(v.Low, v.High)))
				c.width = max(c.width, 2+utf8.RuneCountInString(deciding[i]))
			}
		}
		if left -= c.width; left < 0 {
			break // the others are in the page
		}
		columns = append(columns, c)
	}
	row := func(name string, cell func(i int, c column) string) {
		text := "  " + pad(clip(clean(name), first), first)
		for i, c := range columns {
			text += pad(cell(i, c), -c.width)
		}
		line("%s", ascii(text))
	}
	row("", func(_ int, c column) string { return titleOf(c.m) })
	floors := false
	for i, s := range r.Systems {
		row(s.Name, func(j int, c column) string {
			if j == 0 {
				return deciding[i]
			}
			return value(at(c.m.Values, i).Mean)
		})
	}
	for _, c := range columns {
		floors = floors || c.m.Random.Exists()
	}
	if floors {
		row("random order", func(i int, c column) string {
			if i == 0 {
				return pad(floor(c.m.Random), c.width-2) // under the means
			}
			return floor(c.m.Random)
		})
	}
	for _, x := range []struct {
		what   string
		counts []int
	}{{"queries left unanswered", t.Missing}, {"queries answered with nothing", t.NoHits}} {
		var systems []string
		for i, n := range x.counts {
			if n > 0 && i < len(r.Systems) {
				systems = append(systems, fmt.Sprintf("%s %d", clip(clean(r.Systems[i].Name), 24), n))
			}
		}
		if systems != nil {
			line("  ! %s: %s", x.what, strings.Join(systems, ", "))
		}
	}
}

// textColumns are the metrics worth a column, in the order of the report. Where a
// note tells to look at condensed nDCG, that stands beside the deciding metric.
func textColumns(r *eval.Report, t *eval.Task) (list []*eval.MetricInfo) {
	told := slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(strings.ToLower(n), "condensed ndcg") })
	var condensed []*eval.MetricInfo
	for i := range t.Metrics {
		m := &t.Metrics[i]
		if known, ok := parsed(m.Metric); ok && known.Name == "cndcg" && known.Gains == "" && told {
			condensed = append(condensed, m)
		} else if partOf(m.Metric) == plainPart {
			list = append(list, m)
		}
	}
	return slices.Insert(list, min(1, len(list)), condensed...)
}

// textCompared writes the comparisons by the deciding metric, that of baseline and
// candidate first.
func textCompared(r *eval.Report, t *eval.Task, n int, line func(string, ...any)) {
	all := comparisons(t, deciding(t))
	slices.SortStableFunc(all, func(a, b eval.Comparison) int {
		rank := func(c eval.Comparison) int {
			if c.A == r.Baseline && c.B == r.Candidate {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	width := 0
	for _, c := range all {
		width = max(width, utf8.RuneCountInString(clean(c.B)+" - "+clean(c.A)))
	}
	width = min(width, 44)
	for i, c := range all {
		if i == n {
			line("  and %s", textPlural(len(all)-n, "more comparison", "more comparisons"))
			return
		}
		line("%s", ascii(fmt.Sprintf("  %s  %s  %s  %s  %s", pad(clip(clean(c.B)+" - "+clean(c.A), width), width), pad(signed(c.Difference), -6),
			pad(signedInterval(c.Low, c.High), 16), pad(equals("p", c.PHolm), 8), clean(c.Outcome))))
	}
}

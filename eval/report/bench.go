package report

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/trirank/trirank/eval"
)

// Row holds what one system reached for one query of a task.
type Row struct {
	Task, System string
	Values       []eval.Number // aligned with the task's metrics
}

// Bench writes the means in the format of Go benchmarks, which
// golang.org/x/perf/cmd/benchstat compares:
//
//	benchstat -col /system bench.txt  # the systems of one evaluation
//	benchstat before.txt after.txt    # two evaluations
//
// Without perQuery there is one line for each task and system, and units are
// declared exact: a mean over fixed judgements is no sample, measuring it again
// would give the same number, and benchstat shows its change without asking for
// more runs.
//
// With perQuery there is one line for each row, so that benchstat sees how values
// are spread over queries. It then shows medians rather than means and applies a
// test that does not know which values belong to the same query. That finds less
// than the paired test of the report, which is the one to trust; what it does
// find is there. Values that do not exist are left out.
//
// benchstat compares only what has the same configuration, so that the lines of
// configuration name what must be equal for numbers to be comparable: judgements,
// gains, relevance and split. What may well differ, such as the version of the
// program and the index, is in comments.
func Bench(w io.Writer, r *eval.Report, perQuery []Row) error {
	b := bufio.NewWriter(w)
	declared := map[string]bool{}
	for _, t := range r.Tasks {
		for _, m := range t.Metrics {
			unit := field(m.Metric)
			var properties string
			if !m.Neutral {
				properties = " better=higher"
			}
			if perQuery == nil {
				properties += " assume=exact"
			}
			if properties != "" && !declared[unit] {
				declared[unit] = true
				fmt.Fprintf(b, "Unit %s%s\n", unit, properties)
			}
		}
	}
	comment := func(key, text string) {
		if text != "" {
			fmt.Fprintf(b, "# %s: %s\n", key, clean(text))
		}
	}
	config := func(key, text string) {
		if text != "" {
			fmt.Fprintf(b, "%s: %s\n", key, clean(text))
		}
	}
	comment("trirank-version", r.Program)
	comment("name", r.Name)
	if r.Index != nil {
		comment("index", r.Index.Hash)
		comment("catalogue", r.Index.Contents)
	}
	config("judgments", r.Judgments.Hash)
	config("relevant", r.Options.Relevant)
	config("split", r.Options.Split)
	if len(r.Options.Gains) > 0 {
		config("gains", gainTable(r.Options.Gains[0].Name, r))
	}
	line := func(task, system string, metrics []eval.MetricInfo, values func(int) eval.Number) {
		var text strings.Builder
		for i, m := range metrics {
			if v := values(i); v.Exists() {
				text.WriteString(" " + strconv.FormatFloat(float64(v), 'g', 8, 64) + " " + field(m.Metric))
			}
		}
		if text.Len() > 0 { // a line without a value is an error to benchstat
			fmt.Fprintf(b, "%s 1%s\n", benchName(task, system), text.String())
		}
	}
	if perQuery == nil {
		for _, t := range r.Tasks {
			for i, s := range r.Systems {
				line(t.Name, s.Name, t.Metrics, func(m int) eval.Number { return at(t.Metrics[m].Values, i).Mean })
			}
		}
		return b.Flush()
	}
	metrics := map[string][]eval.MetricInfo{}
	for _, t := range r.Tasks {
		metrics[t.Name] = t.Metrics
	}
	for n, row := range perQuery {
		m, ok := metrics[row.Task]
		if !ok || len(m) != len(row.Values) {
			return fmt.Errorf("cannot write benchmark lines: row %d has %d values for task %.40q, which has %d metrics", n, len(row.Values), row.Task, len(m))
		}
		line(row.Task, row.System, m, func(i int) eval.Number { return row.Values[i] })
	}
	return b.Flush()
}

// processors is what benchstat would take for the number of processors.
var processors = regexp.MustCompile(`-([0-9]+)$`)

func benchName(task, system string) string {
	return "BenchmarkEval/task=" + namePart(task) + "/system=" + processors.ReplaceAllString(namePart(system), "_$1")
}

// namePart makes text one part of a name.
func namePart(s string) string { return strings.ReplaceAll(field(s), "/", "_") }

// field makes text one field of a line.
func field(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return '_'
		}
		return r
	}, clean(s))
}

// at returns a system's value, which does not exist where the list is too short.
func at(values []eval.Value, i int) eval.Value {
	if i < len(values) {
		return values[i]
	}
	return eval.Value{Mean: nan, Low: nan, High: nan}
}

package report

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/trirank/trirank/eval"
)

// benchLines is what benchstat would read: this follows golang.org/x/perf/benchfmt,
// which says what is a unit, a configuration and a result; other lines it ignores.
type benchLines struct {
	units   map[string]string
	config  map[string]string
	results map[string][]map[string]float64
}

func parseBench(text string) (benchLines, error) {
	p := benchLines{map[string]string{}, map[string]string{}, map[string][]map[string]float64{}}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Benchmark"):
			if len(fields) < 4 || len(fields)%2 != 0 || len(p.units) == 0 {
				return p, fmt.Errorf("line %d: %q", n+1, line)
			}
			if _, err := strconv.Atoi(fields[1]); err != nil {
				return p, fmt.Errorf("line %d: %w", n+1, err)
			}
			values := map[string]float64{}
			for i := 2; i < len(fields); i += 2 {
				v, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					return p, fmt.Errorf("line %d: %w", n+1, err)
				}
				values[fields[i+1]] = v
			}
			p.results[fields[0]] = append(p.results[fields[0]], values)
		case len(fields) > 2 && fields[0] == "Unit":
			for _, property := range fields[2:] {
				if !strings.Contains(property, "=") {
					return p, fmt.Errorf("line %d: property %q", n+1, property)
				}
			}
			if old, ok := p.units[fields[1]]; ok {
				return p, fmt.Errorf("line %d: %s was %s before", n+1, fields[1], old)
			}
			p.units[fields[1]] = strings.Join(fields[2:], " ")
		case strings.HasPrefix(line, "#"): // ignored
		default:
			key, value, ok := strings.Cut(line, ": ")
			if !ok || !unicode.IsLower(rune(key[0])) || strings.ContainsFunc(key, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsUpper(c) }) {
				return p, fmt.Errorf("line %d: %q", n+1, line)
			}
			p.config[key] = value
		}
	}
	return p, nil
}

func TestBench(t *testing.T) {
	r := large(1)
	r.Systems[0].Name = "a b/c\nd"
	p, err := parseBench(written(t, means, r))
	if err != nil {
		t.Fatal(err)
	}
	if p.units["recall[E+S]@100"] != "better=higher assume=exact" || p.units["judged@10"] != "assume=exact" {
		t.Errorf("units %v", p.units)
	}
	if p.config["judgments"] != r.Judgments.Hash || p.config["trirank-version"] != "" {
		t.Errorf("configuration %v", p.config)
	}
	if len(p.results) != 12 {
		t.Errorf("%d benchmarks", len(p.results))
	}
	for name, lines := range p.results {
		if len(lines) != 1 || regexp.MustCompile(`-[0-9]+$`).MatchString(name) || strings.Count(name, "/") != 2 {
			t.Errorf("benchmark %s has %d lines", name, len(lines))
		}
	}
	if got, want := p.results["BenchmarkEval/task=full/system=e5_2"], float64(r.Tasks[0].Metrics[0].Values[5].Mean); len(got) != 1 || got[0]["ndcg@10"]-want > 1e-7 || want-got[0]["ndcg@10"] > 1e-7 {
		t.Errorf("%v, want %v", got, want)
	}
	if p.results["BenchmarkEval/task=full/system=a_b_c_d"] == nil {
		t.Errorf("no benchmark of a b/c: %v", p.results)
	}

	p, err = parseBench(written(t, perQuery, fixture()))
	if err != nil {
		t.Fatal(err)
	}
	if p.units["ndcg@10"] != "better=higher" || p.units["judged@10"] != "" {
		t.Errorf("units %v", p.units)
	}
	lines := p.results["BenchmarkEval/task=full/system=bm25"]
	missing := 0
	for _, l := range lines {
		if _, ok := l["ndcg@10"]; !ok {
			missing++
		}
	}
	if len(lines) != 20 || missing != 3 {
		t.Errorf("%d lines, %d without a value", len(lines), missing)
	}
}

func TestBenchRows(t *testing.T) {
	for _, row := range []Row{{Task: "other"}, {Task: eval.FullTask, Values: []eval.Number{1}}} {
		if err := Bench(io.Discard, fixture(), []Row{row}); err == nil || !strings.Contains(err.Error(), "row 0") {
			t.Errorf("row %v: %v", row, err)
		}
	}
}

package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	stdhtml "html"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trirank/trirank/eval"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func html(t testing.TB, r *eval.Report) string { return written(t, HTML, r) }

func written(t testing.TB, write func(io.Writer, *eval.Report) error, r *eval.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func means(w io.Writer, r *eval.Report) error { return Bench(w, r, nil) }

// perQuery gives each system 20 queries.
func perQuery(w io.Writer, r *eval.Report) error {
	rows := []Row{}
	for i := range 20 {
		for _, t := range r.Tasks {
			for j, s := range r.Systems {
				row := Row{Task: t.Name, System: s.Name}
				for k, m := range t.Metrics {
					v := at(m.Values, j).Mean + eval.Number(float64(i-10)/100)
					if (i+j+k)%7 == 0 {
						v = nan
					}
					row.Values = append(row.Values, v)
				}
				rows = append(rows, row)
			}
		}
	}
	return Bench(w, r, rows)
}

// TestGolden compares what is written with testdata; -update rewrites it.
func TestGolden(t *testing.T) {
	for name, write := range map[string]func(io.Writer, *eval.Report) error{
		"report.txt": Text, "report.md": Markdown, "report.tex": LaTeX, "bench.txt": means, "queries.txt": perQuery,
	} {
		for kind, r := range map[string]*eval.Report{"full": fixture(), "minimal": minimal()} {
			path := filepath.Join("testdata", kind+"-"+name)
			got := written(t, write, r)
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s has changed (go test -update ./eval/report, then look at the difference)", path)
			}
			if again := written(t, write, r); again != got {
				t.Errorf("%s differs the second time", path)
			}
		}
	}
}

// leaves calls f with every value that is not made of others.
func leaves(path string, v reflect.Value, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			leaves(path, v.Elem(), f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(path+"."+v.Type().Field(i).Name, v.Field(i), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			leaves(path+"["+strconv.Itoa(i)+"]", v.Index(i), f)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			leaves(path+" key", k, f)
			leaves(path+" of "+k.String(), v.MapIndex(k), f)
		}
	default:
		f(path, v)
	}
}

// TestHTMLShowsEverything looks for every value of the report on the page.
func TestHTMLShowsEverything(t *testing.T) {
	r := fixture()
	page := html(t, r)
	if html(t, r) != page {
		t.Error("the page differs the second time")
	}
	text := stdhtml.UnescapeString(page)
	found := 0
	leaves("", reflect.ValueOf(r), func(path string, v reflect.Value) {
		var forms []string
		switch v.Kind() {
		case reflect.String:
			forms = []string{clean(v.String())}
			if strings.HasSuffix(path, ".Label") && v.String() == "" {
				forms = []string{"unjudged"}
			}
		case reflect.Int:
			forms = []string{count(int(v.Int())), strconv.FormatInt(v.Int(), 10)}
		case reflect.Uint64:
			forms = []string{strconv.FormatUint(v.Uint(), 10)}
		case reflect.Float64:
			x := v.Float()
			forms = []string{value(eval.Number(x)), signed(eval.Number(x)), number(x), percentage(x), probability(eval.Number(x)), floor(eval.Number(x)), decimals(eval.Number(x), 1)}
			if strings.Contains(path, "Segments") && !strings.Contains(text, forms[0]) {
				t.Errorf("%s: %s is not shown", path, forms[0])
			}
		default:
			return
		}
		found++
		if !slices.ContainsFunc(forms, func(s string) bool { return strings.Contains(text, s) }) {
			t.Errorf("%s: none of %q is shown", path, forms)
		}
	})
	if found < 1000 {
		t.Errorf("only %d values were looked for", found)
	}
	for _, want := range []string{"no training record", "There is leakage", "collapsed", "order changes", "has been written to the index", "seen in training"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestHTMLNeedsNothing(t *testing.T) {
	for _, r := range []*eval.Report{fixture(), minimal(), large(3)} {
		page := html(t, r)
		for _, bad := range []string{"http:", "https:", "<link", "<img", "<iframe", "@import", "url(", "ZgotmplZ", "%!", "<no value>", "NaN", "\x1b", "\u202e"} {
			if strings.Contains(page, bad) {
				t.Errorf("the page has %q", bad)
			}
		}
		for _, m := range regexp.MustCompile(`(?i)<[^<>]*\s(?:href|src)="?([^"> ]*)`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "#") {
				t.Errorf("the page refers to %q", m[1])
			}
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%d scripts", n)
		}
	}
}

func TestMinimal(t *testing.T) {
	page := html(t, minimal())
	for _, part := range []string{`id="agreement"`, `id="movements"`, `id="drift"`, `id="leakage"`, `id="fusion"`, `id="queries"`, `class="forest"`, "Comparisons by", `class="hero"`, `class="notes`} {
		if strings.Contains(page, part) {
			t.Errorf("the page has %s", part)
		}
	}
	// Nor may a report without anything, or with lists that are too short, fail.
	for _, r := range []*eval.Report{{}, {Systems: make([]eval.SystemInfo, 3), Tasks: []eval.Task{{Metrics: make([]eval.MetricInfo, 1)}, {}}, Baseline: "a", Candidate: "b", Drift: &eval.Drift{Models: make([]eval.Geometry, 1)},
		Leakage: &eval.Leakage{}, Fusion: &eval.FusionTuning{}, Popularity: &eval.Popularity{Systems: make([]eval.PopularitySystem, 5)}, Queries: make([]eval.QueryReport, 1), Segments: make([]eval.Segments, 1), Movements: make([]eval.Movement, 1), Agreement: make([]eval.Agreement, 1)}} {
		for _, write := range []func(io.Writer, *eval.Report) error{HTML, Text, Markdown, LaTeX, means} {
			written(t, write, r)
		}
	}
}

func TestOutcomes(t *testing.T) {
	r := fixture()
	r.Verdicts = append([]string{"Something of its own."}, r.Verdicts...)
	var got []string
	for _, v := range verdicts(r) {
		got = append(got, v.Outcome)
	}
	if want := []string{"unclear", "unclear", "better", "", "better", "better", "better"}; !slices.Equal(got, want) {
		t.Errorf("verdicts are %q, want %q", got, want)
	}
	marks := best(&eval.MetricInfo{Values: []eval.Value{{Mean: .5001}, {Mean: nan}, {Mean: .4999}, {Mean: .4}}})
	if want := []bool{true, false, true, false}; !slices.Equal(marks, want) {
		t.Errorf("the best are %v, want %v", marks, want)
	}
}

// TestTextVerdicts tells six verdicts of the length that they have, none of them cut off.
func TestTextVerdicts(t *testing.T) {
	r := fixture()
	r.Verdicts, r.Notes = nil, nil
	for i := range 6 {
		r.Verdicts = append(r.Verdicts, fmt.Sprintf("Full catalogue: No difference between system %d and another system can be shown on nDCG@10 with 63 queries: +.007 [-.013, +.030], p = 1.000. A difference of .039 would have been found %d times in five.", i, i))
	}
	text := oneLine(written(t, Text, r))
	for _, v := range r.Verdicts {
		if !strings.Contains(text, v) {
			t.Errorf("no %q in\n%s", v, text)
		}
	}
	if strings.Contains(text, "…") {
		t.Errorf("something is cut off:\n%s", text)
	}
}

// TestTextOfOnes has intervals that are wider than most: no number is cut off.
func TestTextOfOnes(t *testing.T) {
	r := fixture()
	r.Verdicts, r.Notes = nil, nil
	for i := range r.Tasks {
		for _, m := range r.Tasks[i].Metrics {
			for j := range m.Values {
				m.Values[j].Mean, m.Values[j].Low, m.Values[j].High = 1, 1, 1
			}
		}
	}
	if text := written(t, Text, r); strings.Contains(text, "…") || !strings.Contains(text, "1.000  [1.000, 1.000]") {
		t.Errorf("something is cut off:\n%s", text)
	}
}

// oneLine undoes how a text was wrapped.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestLarge(t *testing.T) {
	r := large(2000)
	for i := range r.Verdicts {
		r.Verdicts[i] += strings.Repeat(" and so on", 40)
	}
	r.Notes = append(r.Notes, strings.Repeat("long ", 80), strings.Repeat("unbroken", 80), hostile)
	r.Tasks[0].Missing = []int{1, 2, 3, 4, 5, 6}
	text := strings.TrimSuffix(written(t, Text, r), "\n")
	lines := strings.Split(text, "\n")
	if len(lines) > 60 {
		t.Errorf("the summary has %d lines:\n%s", len(lines), text)
	}
	for _, l := range lines {
		if utf8.RuneCountInString(l) > 100 || strings.ContainsAny(l, "\x1b\u202e") {
			t.Errorf("line %q", l)
		}
	}
	page := html(t, r)
	if n := strings.Count(page, `<details class="query"`); n != 2000 {
		t.Errorf("%d queries", n)
	}
}

// BenchmarkHTML writes the page of six systems and as many queries as are shown at
// most by default, and ten times as many.
func BenchmarkHTML(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprintf("queries=%d", n), func(b *testing.B) {
			r := large(n)
			for b.Loop() {
				if err := HTML(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestEscapes(t *testing.T) {
	r := fixture()
	r.Name, r.Verdicts, r.Notes, r.Systems[0].Name, r.Tasks[0].Title, r.Program = hostile, []string{hostile}, []string{hostile}, hostile, hostile, hostile
	r.Tasks[0].Comparisons[0].A = hostile
	if page := html(t, r); strings.Contains(page, "<script>window") || strings.Contains(page, "<img") {
		t.Error("the page runs what it should show")
	}
	cells := 0
	for _, line := range strings.Split(written(t, Markdown, r), "\n") {
		line = strings.NewReplacer("<sub>", "", "</sub>", "", `\|`, "").Replace(line)
		if strings.ContainsAny(line, "<\x1b") {
			t.Errorf("Markdown has %q", line)
		}
		if n := strings.Count(line, "|"); n > 0 && cells > 0 && n != cells {
			t.Errorf("%d cells, %d in the line before: %q", n, cells, line)
		} else {
			cells = n
		}
	}
	text := written(t, LaTeX, r)
	if !strings.Contains(text, `\textbackslash{}alpha\_1\textasciicircum{}2\{\textasciitilde{}\}\#\%`) {
		t.Errorf("LaTeX:\n%s", text)
	}
	// No special character may be left but those of this package's own commands.
	for _, line := range strings.Split(text, "\n")[1:] {
		if strings.Count(strings.ReplaceAll(line, `\$`, ""), "$")%2 != 0 || regexp.MustCompile(`[^\\]#|[^\\]%|[^\\]_|~\{`).MatchString(line) {
			t.Errorf("LaTeX has %q", line)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{value(.598), ".598"}, {value(1), "1.000"}, {value(-.0213), "−.021"}, {value(nan), "–"}, {value(-.0001), ".000"}, {value(12.5), "12.500"},
		{signed(.021), "+.021"}, {signed(-.021), "−.021"}, {signed(.0001), ".000"}, {signed(nan), "–"}, {signed(0), ".000"},
		{probability(.0004), "< .001"}, {probability(.002), ".002"}, {probability(nan), "–"}, {probability(1), "1.000"}, {equals("p", .2), "p = .200"},
		{interval(.5, .62), "[.500, .620]"}, {interval(nan, nan), "–"}, {number(23.41), "23.41"}, {number(.03279), ".03279"}, {number(-3), "−3"}, {number(0), "0"}, {number(1.5e-9), "1.5e-09"}, {number(math.Inf(1)), "–"},
		{count(1215854), "1\u202f215\u202f854"}, {count(12), "12"}, {percentage(.95), "95\u202f%"}, {percentage(.999), "99.9\u202f%"},
		{clean("a\tb\x1b\u202e\xff"), "a b␛��"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	for _, name := range eval.Names() {
		m := name + "@10"
		if gloss(m) == "" || len(define(m, fixture().Options)) < 40 {
			t.Errorf("%s is not explained: %q, %q", m, gloss(m), define(m, fixture().Options))
		}
	}
	if got := title("what<is>this"); got != "what<is>this" {
		t.Errorf("title %q", got)
	}
}

func TestWeights(t *testing.T) {
	for text, ok := range map[string]bool{"convex:a=0.3,b=0.7": true, "convex:a=0,b=0": false, "convex:a=1": false, "rrf(60):a=1,b=1": false, "convex:a=x,b=1": false, "convex:=1,b=1": false, "convex:a=-1,b=1": false, "convex:a=NaN,b=1": false, "convex:a=Inf,b=1": false} {
		if _, _, got := weights(text); got != ok {
			t.Errorf("weights(%q) %v", text, got)
		}
	}
	r := fixture()
	if p := newTuning(r, r.Fusion); p == nil || len(p.Points) != 11 || p.Of != "bm25" || len(p.Lines) != 10 {
		t.Errorf("tuning %+v", p)
	}
}

func TestAxis(t *testing.T) {
	a := axisOver(-.02, nan, .1)
	var texts []string
	for _, tick := range a.ticks(signed) {
		texts = append(texts, tick.Text)
	}
	if got := strings.Join(texts, " "); got != "0 +.05 +.1" && got != "−.02 0 +.02 +.04 +.06 +.08 +.1" {
		t.Errorf("ticks %s", got)
	}
	if a.at(-9) != 0 || a.at(9) != 100 || math.Abs(a.at(.04)-50) > .01 {
		t.Errorf("places %v %v %v", a.at(-9), a.at(9), a.at(.04))
	}
	for _, a := range []axis{axisOver(), axisOver(nan), axisOver(.5), axisOver(0, 0)} {
		if n := len(a.ticks(value)); n > 12 {
			t.Errorf("%v has %d ticks", a, n)
		}
	}
}

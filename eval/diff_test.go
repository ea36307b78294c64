package eval

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// outcomeOf is an evaluation of one system over queries, its values shifted.
func outcomeOf(t testing.TB, name string, queries int, shift, noise float64) Outcome {
	t.Helper()
	r, same := rand.New(rand.NewPCG(7, 1)), rand.New(rand.NewPCG(7, 2))
	var values []Values
	for _, task := range []string{FullTask, PoolTask} {
		v := Values{Task: task, System: "dense", Metrics: metricsOf(t, "ndcg@10", "judged@10", "mrr@10")}
		if task == PoolTask {
			v.Metrics = metricsOf(t, "ndcg", "judged@10")
		}
		for i := range queries {
			v.Queries = append(v.Queries, judgments.Query{ID: string(rune('A' + i)), Text: "text"})
			row := make([]float64, len(v.Metrics))
			for m := range row {
				row[m] = same.Float64() + shift + noise*r.NormFloat64()
			}
			v.Rows = append(v.Rows, row)
		}
		values = append(values, v)
	}
	return Outcome{Name: name, Values: values, Report: &Report{Program: "v1", Systems: []SystemInfo{{Name: "dense"}}}}
}

func conditionsOf(t testing.TB, texts ...string) (out []*Condition) {
	t.Helper()
	for _, s := range texts {
		c, err := ParseCondition(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestDiffOfTheSame(t *testing.T) {
	a, b := outcomeOf(t, "a", 40, 0, 0), outcomeOf(t, "b", 40, 0, 0)
	d, err := Diff(a, b, DiffOptions{Conditions: conditionsOf(t, "ndcg@10 drop > 0", "pool:ndcg drop > 0.01", "dense ndcg@10 drop > 1%"), Statistics: Options{Draws: 500}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Failed) != 0 || len(d.Passed) != 3 || len(d.Changed)+len(d.Unlike) != 0 || d.Err() != nil || len(d.Missing) != 0 || len(d.Systems) != 2 {
		t.Errorf("%+v", d)
	}
	for _, s := range d.Systems {
		for _, c := range s.Comparisons {
			if c.Outcome != Tie || c.P != 1 || c.A != "before" || c.B != "after" || strings.HasPrefix(c.Metric, "judged") {
				t.Errorf("%+v", c)
			}
		}
	}
}

// A condition fails only where the drop is both beyond its limit and more than
// chance.
func TestDiffConditions(t *testing.T) {
	for _, c := range []struct {
		name         string
		queries      int
		shift, noise float64
		condition    string
		failed       bool
	}{
		{"a clear drop", 60, -.05, .05, "ndcg@10 drop > 0.01", true},
		{"a clear drop within the limit", 60, -.05, .05, "ndcg@10 drop > 0.2", false},
		{"a clear rise", 60, .05, .05, "ndcg@10 drop > 0.01", false},
		{"beyond the limit, but chance explains it", 4, -.05, .05, "ndcg@10 drop > 0.01", false}, // four queries reach no p below 1/8
		{"of the system named", 60, -.05, .05, "dense mrr@10 drop > 0.01", true},
		{"of the task named", 60, -.05, .05, "pool:dense ndcg drop>0.01", true},
		{"in the pool, since the full catalogue has no such metric", 60, -.05, .05, "ndcg drop > 0.01", true},
	} {
		d, err := Diff(outcomeOf(t, "a", c.queries, 0, 0), outcomeOf(t, "b", c.queries, c.shift, c.noise), DiffOptions{Conditions: conditionsOf(t, c.condition), Statistics: Options{Draws: 1000}})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if (len(d.Failed) == 1) != c.failed || len(d.Failed)+len(d.Passed) != 1 {
			t.Errorf("%s: failed %q, passed %q", c.name, d.Failed, d.Passed)
		}
		for _, s := range append(d.Failed, d.Passed...) {
			if !strings.HasPrefix(s, c.condition+": dense (") {
				t.Errorf("%s: %s", c.name, s)
			}
		}
	}
}

func TestDiffErrors(t *testing.T) {
	a := outcomeOf(t, "a", 20, 0, 0)
	for _, s := range []string{"other ndcg@10 drop > 0", "map drop > 0", "pool:mrr@10 drop > 0", "judged@10 drop > 0"} {
		if _, err := Diff(a, a, DiffOptions{Conditions: conditionsOf(t, s)}); !errors.As(err, new(*ConditionError)) || !strings.Contains(err.Error(), "names a system or metric that the two evaluations do not share (systems of a: dense)") {
			t.Errorf("%s: %v", s, err)
		}
	}
	change := func(f func(v *Values)) Outcome {
		b := outcomeOf(t, "b", 20, 0, 0)
		for i := range b.Values {
			f(&b.Values[i])
		}
		return b
	}
	for says, b := range map[string]Outcome{
		"share no system": change(func(v *Values) { v.System = "other" }),
		"share no metric": change(func(v *Values) { v.Metrics = metricsOf(t, "err@1", "err@2", "err@3")[:len(v.Metrics)] }),
		"share no query (the same ids have other texts)": change(func(v *Values) {
			for i := range v.Queries {
				v.Queries[i].Text = "another text" // the id of another list of queries
			}
		}),
	} {
		if _, err := Diff(a, b, DiffOptions{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	if _, err := Diff(a, a, DiffOptions{Statistics: Options{Draws: 1}}); err == nil {
		t.Error("one draw is too few")
	}
}

// Only queries, metrics and systems that both have are compared; the rest is named.
func TestDiffOfWhatIsShared(t *testing.T) {
	a, b := outcomeOf(t, "a", 20, 0, 0), outcomeOf(t, "b", 30, 0, 0)
	slices.Reverse(b.Values[0].Queries) // found by id and text, not by place
	slices.Reverse(b.Values[0].Rows)
	b.Values[0].Metrics = slices.Clone(b.Values[0].Metrics)
	b.Values[0].Metrics[2] = metricsOf(t, "map")[0]
	b.Values[1].System = "hybrid"
	a.Values[0].Rows[3][0] = math.NaN()
	d, err := Diff(a, b, DiffOptions{Statistics: Options{Draws: 200}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Systems) != 1 || d.Systems[0].Queries != 20 || d.Systems[0].OnlyInA != 0 || d.Systems[0].OnlyInB != 10 || len(d.Systems[0].Comparisons) != 1 || d.Systems[0].Comparisons[0].Queries != 19 ||
		strings.Join(d.Missing, ", ") != "dense (pool) is only in a, hybrid (pool) is only in b" {
		t.Errorf("%+v", d)
	}
}

func TestDiffNamesChangedInputs(t *testing.T) {
	hash := func(c string) string { return strings.Repeat(c, 64) }
	report := func(c string, gains float64, program string) *Report {
		return &Report{Program: program, Judgments: JudgmentsInfo{Hash: hash(c), Levels: []LevelInfo{{Label: "I"}, {Label: "C"}, {Label: "S"}, {Label: "E"}}}, Index: &IndexInfo{Hash: hash(c), Contents: hash("9")},
			Systems: []SystemInfo{{Name: "dense", Model: hash(c)}, {Name: "only " + c}},
			Options: OptionsInfo{Relevant: "E", Gains: []judgments.GainTable{{Name: "esci", Gains: []float64{0, .01, .1, gains}}, {Name: "exp", Gains: []float64{0, 6 + gains}}, {Name: "exact", Gains: []float64{0}}}}}
	}
	a, b := outcomeOf(t, "a", 5, 0, 0), outcomeOf(t, "b", 5, 0, 0)
	a.Report, b.Report = report("0", 1, "v0.0.0-20250101000000-aaaa"), report("1", 2, "v0.0.0-20250101000000-bbbb")
	b.Report.Options.Relevant = "E+S"
	d, err := Diff(a, b, DiffOptions{Statistics: Options{Draws: 100}})
	if err != nil {
		t.Fatal(err)
	}
	// What differs must show: hashes do so at once, gains and versions at the end.
	want := []string{
		"program: v0.0.0-20250101000000-aaaa, then v0.0.0-20250101000000-bbbb",
		"index: 0000000000000000, then 1111111111111111",
		"model of dense: 0000000000000000, then 1111111111111111",
	}
	unlike := []string{
		"judgements: 0000000000000000, then 1111111111111111",
		"relevant labels: E, then E+S",
		"gains: esci: I 0, C 0.01, S 0.1, E 1, then esci: I 0, C 0.01, S 0.1, E 2",
		"gains exp: I 0, C 7, then I 0, C 8",
	}
	if !slices.Equal(d.Changed, want) || !slices.Equal(d.Unlike, unlike) {
		t.Errorf("%q\nwant %q\nunlike %q\nwant %q", d.Changed, want, d.Unlike, unlike)
	}
}

func TestParseCondition(t *testing.T) {
	for s, want := range map[string]Condition{
		"ndcg@10 drop > 0.01":               {metric: Metric{Name: "ndcg", K: 10}, limit: .01},
		"  NDCG@10   drop>.5 ":              {metric: Metric{Name: "ndcg", K: 10}, limit: .5},
		"pool:ndcg drop > 0":                {task: PoolTask, metric: Metric{Name: "ndcg"}},
		"full:finetuned map drop > 1":       {task: FullTask, system: "finetuned", metric: Metric{Name: "map"}, limit: 1},
		"ndcg drop > 2.5 %":                 {metric: Metric{Name: "ndcg"}, limit: 2.5, percent: true},
		"bm25 recall[E+S]@100 drop > 0.005": {system: "bm25", metric: Metric{Name: "recall", Relevant: "E+S", K: 100}, limit: .005},
	} {
		want.text = s
		got, err := ParseCondition(s)
		if err != nil || *got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
		if err == nil && (!got.About(want.metric.String()) || got.About("other")) {
			t.Errorf("%q is about something else", s)
		}
	}
	for _, s := range []string{"", "ndcg@10", "ndcg@10 drop", "ndcg@10 drop > ", "ndcg@10 drop > x", "ndcg@10 drop > -1", "ndcg@10 drop > 0..1", "ndcg@10 rise > 1", "test:ndcg drop > 1", "a b ndcg drop > 1", "gain drop > 1", "ndcg@10 drop < 1", "ndcg@10 drop > 100%", "ndcg@10 drop > %", "ndcg@10 drop > 1%%"} {
		if c, err := ParseCondition(s); err == nil || !strings.HasPrefix(err.Error(), "condition ") {
			t.Errorf("%q: %+v, %v", s, c, err)
		}
	}
}

// A limit in per cent is of the first side's mean.
func TestDiffRelativeLimit(t *testing.T) {
	a, b := outcomeOf(t, "a", 60, 0, 0), outcomeOf(t, "b", 60, -.05, .01)
	mean := 0.
	for _, row := range a.Values[0].Rows {
		mean += row[0] / 60
	}
	drop := 100 * .05 / mean // per cent, about
	if drop < 5 || drop > 20 {
		t.Fatalf("a drop of %.1f %%", drop)
	}
	d, err := Diff(a, b, DiffOptions{Conditions: conditionsOf(t, "ndcg@10 drop > 4%", "ndcg@10 drop > 21 %"), Statistics: Options{Draws: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Failed) != 1 || len(d.Passed) != 1 || !strings.HasPrefix(d.Failed[0], "ndcg@10 drop > 4%: dense (full): nDCG@10 changed by -.0") || !strings.Contains(d.Failed[0], " % of "+Short(mean)+") [") {
		t.Errorf("failed %q, passed %q", d.Failed, d.Passed)
	}
	c := d.Systems[0].Comparisons[0]
	if math.Abs(float64(c.Before)-mean) > 1e-12 || math.Abs(float64(c.After-c.Before-c.Difference)) > 1e-12 || !c.Shown || d.Systems[0].Comparisons[1].Shown {
		t.Errorf("%+v", c)
	}
	if err := d.Err(); err == nil || err.Error() != "b is worse than a: 1 of 2 checks failed" {
		t.Error(err)
	}
}

// without leaves out the first n queries.
func without(o Outcome, n int) Outcome {
	values := slices.Clone(o.Values)
	for i := range values {
		values[i].Queries, values[i].Rows = values[i].Queries[n:], values[i].Rows[n:]
	}
	o.Values = values
	return o
}

// A gate must not pass because what it guards is gone.
func TestDiffOfWhatIsGone(t *testing.T) {
	whole, worse := outcomeOf(t, "main", 30, 0, 0), outcomeOf(t, "branch", 30, -.2, .05)
	whole.Name, worse.Name = "main", "branch"
	same := whole
	same.Name = "branch"
	noMetric, noSystem, noValue := without(same, 0), without(same, 0), without(same, 0)
	noMetric.Values[0].Metrics = metricsOf(t, "err@10", "judged@10", "mrr@10")
	noSystem.Values = noSystem.Values[1:]
	noValue.Values[0].Rows = [][]float64{}
	for i := range 30 { // each query has a value on one side only
		row := slices.Clone(same.Values[0].Rows[i])
		if i > 0 {
			row[0] = math.NaN()
		}
		noValue.Values[0].Rows = append(noValue.Values[0].Rows, row)
	}
	first := without(whole, 0)
	first.Values[0].Rows = slices.Clone(first.Values[0].Rows)
	first.Values[0].Rows[0] = []float64{math.NaN(), 0, 0}
	for _, c := range []struct {
		name           string
		a, b           Outcome
		condition      string
		allow          bool
		failed, passed string // what it says; empty: nothing
		err            string
	}{
		{"queries", whole, without(same, 10), "ndcg@10 drop > 0.01", false, "dense (full): 10 of 30 queries are not in branch (--allow-missing holds it over the others)", "", "branch cannot be held against main: "},
		{"queries, allowed", whole, without(same, 10), "ndcg@10 drop > 0.01", true, "", "changed by .000", ""},
		{"queries, and worse", whole, without(worse, 10), "ndcg@10 drop > 0.01", false, "changed by -", "", "branch is worse than main: "},
		{"new queries", without(whole, 10), same, "ndcg@10 drop > 0.01", false, "", "changed by .000", ""},
		{"system", whole, noSystem, "dense ndcg@10 drop > 0", false, "dense (full) is not in branch", "", "branch cannot be held against main: "},
		{"system of no name", whole, noSystem, "ndcg@10 drop > 0", false, "dense (full) is not in branch", "", "branch cannot be held"},
		{"system, allowed", whole, noSystem, "ndcg@10 drop > 0", true, "", "dense (full) is not in branch, as --allow-missing allows", ""},
		{"metric", whole, noMetric, "ndcg@10 drop > 0", false, "dense (full): nDCG@10 is not in branch", "", "branch cannot be held"},
		{"values", first, noValue, "ndcg@10 drop > 0", false, "cannot be held, since no query has nDCG@10 on both sides", "", "branch cannot be held"},
	} {
		d, err := Diff(c.a, c.b, DiffOptions{Conditions: conditionsOf(t, c.condition), AllowMissing: c.allow, Statistics: Options{Draws: 200}})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, x := range []struct {
			got  []string
			want string
		}{{d.Failed, c.failed}, {d.Passed, c.passed}} {
			if (len(x.got) == 0) != (x.want == "") || len(x.got) > 0 && (!strings.Contains(x.got[0], x.want) || !strings.HasPrefix(x.got[0], c.condition+": ")) {
				t.Errorf("%s: %q, want %q", c.name, x.got, x.want)
			}
		}
		if err := d.Err(); (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What is measured by another rule fails a condition, even if the numbers are well.
func TestDiffUnlike(t *testing.T) {
	a := outcomeOf(t, "a", 30, 0, 0)
	for kind, change := range map[string]func(*Report){
		"judgements":      func(r *Report) { r.Judgments.Hash = "other" },
		"relevant labels": func(r *Report) { r.Options.Relevant = "E+S" },
		"gains":           func(r *Report) { r.Options.Gains = []judgments.GainTable{{Name: "own", Gains: []float64{0, 1}}} },
	} {
		b := outcomeOf(t, "b", 30, 0, 0)
		change(b.Report)
		for _, allowed := range []bool{false, true} {
			d, err := Diff(a, b, DiffOptions{Conditions: conditionsOf(t, "ndcg@10 drop > 0.01"), AllowChanged: allowed, Statistics: Options{Draws: 200}})
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Unlike) != 1 || !strings.HasPrefix(d.Unlike[0], kind+": none, then ") || len(d.Changed) > 0 {
				t.Errorf("%s: %q, %q", kind, d.Unlike, d.Changed)
			}
			if want := "ndcg@10 drop > 0.01: cannot be held, since the two are not like for like: other " + kind + " (--allow-changed holds it all the same)"; !allowed && (len(d.Failed) != 1 || d.Failed[0] != want || len(d.Passed)+len(d.Regressed) > 0) {
				t.Errorf("%s: failed %q, passed %q", kind, d.Failed, d.Passed)
			}
			if allowed && (d.Err() != nil || len(d.Passed) != 1) {
				t.Errorf("%s, allowed: %v, %q", kind, d.Err(), d.Passed)
			}
		}
	}
}

// Queries are found by id and text, by id where a text is missing, and by text where
// the ids are others.
func TestPair(t *testing.T) {
	q := func(pairs ...string) (list []judgments.Query) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, judgments.Query{ID: pairs[i], Text: pairs[i+1]})
		}
		return list
	}
	for _, c := range []struct {
		name string
		a, b []judgments.Query
		want pairing
	}{
		{"the same", q("1", "x", "2", "y"), q("2", "y", "1", "x"), pairing{rows: [][2]int{{0, 1}, {1, 0}}}},
		{"no texts", q("1", "x", "2", "y"), q("1", "", "3", ""), pairing{rows: [][2]int{{0, 0}}, byID: 1}},
		{"no texts on either side", q("1", ""), q("1", ""), pairing{rows: [][2]int{{0, 0}}}},
		{"numbered anew", q("1", "b", "2", "c"), q("1", "a", "2", "b", "3", "c"), pairing{rows: [][2]int{{0, 1}, {1, 2}}, byText: 2, otherTexts: 2}},
		{"one text twice", q("1", "x"), q("2", "x", "3", "x"), pairing{}},
		{"one text twice before", q("1", "x", "2", "x"), q("3", "x"), pairing{}},
		{"other texts", q("1", "x"), q("1", "y"), pairing{otherTexts: 1}},
	} {
		if got := pair(c.a, c.b); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// FuzzParseCondition: what is read has a limit and a metric, and reads back from its
// parts.
func FuzzParseCondition(f *testing.F) {
	for _, s := range []string{"ndcg@10 drop > 0.01", "pool:x ndcg drop > 0", "ndcg drop > 2%", "full:full: map[E+S] drop > 1.", "ndcg drop > 9e9", "ndcg@1 ndcg@1 drop > .", "\u212a\u212a[ drop > 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCondition(s)
		if err != nil {
			return
		}
		if !(c.limit >= 0) || math.IsInf(c.limit, 0) || c.text != s {
			t.Fatalf("%q: %+v", s, c)
		}
		text := c.metric.String() + " drop > 0"
		if c.system != "" {
			text = c.system + " " + text
		}
		if c.task != "" {
			text = c.task + ":" + text
		}
		again, err := ParseCondition(text)
		if err != nil || again.task != c.task || again.system != c.system || again.metric != c.metric {
			t.Fatalf("%q: %+v, but %q: %+v, %v", s, c, text, again, err)
		}
	})
}

func TestShortHash(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]string{hash: "0123456789abcdef", "": "", "x" + hash[1:]: "x" + hash[1:], "numeric: 0 0, 1 1": "numeric: 0 0, 1 1"} {
		if got := shortHash(text); got != want {
			t.Errorf("%q is shortened to %q, want %q", text, got, want)
		}
	}
}

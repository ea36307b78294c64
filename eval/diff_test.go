package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
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
			v.Queries = append(v.Queries, Query{ID: string(rune('A' + i)), Text: "text"})
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
	d, err := Diff(a, b, conditionsOf(t, "ndcg@10 drop > 0", "pool:ndcg drop > 0.01"), Options{Draws: 500})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Failed) != 0 || len(d.Passed) != 2 || len(d.Changed) != 0 || len(d.Missing) != 0 || len(d.Systems) != 2 {
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
		d, err := Diff(outcomeOf(t, "a", c.queries, 0, 0), outcomeOf(t, "b", c.queries, c.shift, c.noise), conditionsOf(t, c.condition), Options{Draws: 1000})
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
		if _, err := Diff(a, a, conditionsOf(t, s), Options{}); err == nil || !strings.Contains(err.Error(), "names a system or metric that the two evaluations do not share") {
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
		"share no query": change(func(v *Values) {
			for i := range v.Queries {
				v.Queries[i].Text = "another text" // the id of another list of queries
			}
		}),
	} {
		if _, err := Diff(a, b, nil, Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	if _, err := Diff(a, a, nil, Options{Draws: 1}); err == nil {
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
	d, err := Diff(a, b, nil, Options{Draws: 200})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Systems) != 1 || d.Systems[0].Queries != 20 || len(d.Systems[0].Comparisons) != 1 || d.Systems[0].Comparisons[0].Queries != 19 ||
		strings.Join(d.Missing, ", ") != "dense (pool) is only in a, hybrid (pool) is only in b" {
		t.Errorf("%+v", d)
	}
}

func TestDiffNamesChangedInputs(t *testing.T) {
	hash := func(c string) string { return strings.Repeat(c, 64) }
	report := func(c string, gains float64, program string) *Report {
		return &Report{Program: program, Judgments: JudgmentsInfo{Hash: hash(c)}, Index: &IndexInfo{Hash: hash(c), Contents: hash("9")},
			Systems: []SystemInfo{{Name: "dense", Model: hash(c)}, {Name: "only " + c}},
			Options: OptionsInfo{Relevant: "E", Gains: []GainTable{{"esci", []float64{0, .01, .1, gains}}}}}
	}
	a, b := outcomeOf(t, "a", 5, 0, 0), outcomeOf(t, "b", 5, 0, 0)
	a.Report, b.Report = report("0", 1, "v0.0.0-20250101000000-aaaa"), report("1", 2, "v0.0.0-20250101000000-bbbb")
	b.Report.Options.Relevant = "E+S"
	d, err := Diff(a, b, nil, Options{Draws: 100})
	if err != nil {
		t.Fatal(err)
	}
	// What differs must show: hashes do so at once, gains and versions at the end.
	want := []string{
		"program: v0.0.0-20250101000000-aaaa, then v0.0.0-20250101000000-bbbb",
		"judgements: 0000000000000000, then 1111111111111111",
		"index: 0000000000000000, then 1111111111111111",
		"model of dense: 0000000000000000, then 1111111111111111",
		"relevant labels: E, then E+S",
		"gains: [{esci [0 0.01 0.1 1]}], then [{esci [0 0.01 0.1 2]}]",
	}
	if !slices.Equal(d.Changed, want) {
		t.Errorf("%q\nwant %q", d.Changed, want)
	}
}

func TestParseCondition(t *testing.T) {
	for s, want := range map[string]Condition{
		"ndcg@10 drop > 0.01":               {metric: Metric{Name: "ndcg", K: 10}, limit: .01},
		"  NDCG@10   drop>.5 ":              {metric: Metric{Name: "ndcg", K: 10}, limit: .5},
		"pool:ndcg drop > 0":                {task: PoolTask, metric: Metric{Name: "ndcg"}},
		"full:finetuned map drop > 1":       {task: FullTask, system: "finetuned", metric: Metric{Name: "map"}, limit: 1},
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
	for _, s := range []string{"", "ndcg@10", "ndcg@10 drop", "ndcg@10 drop > ", "ndcg@10 drop > x", "ndcg@10 drop > -1", "ndcg@10 drop > 0..1", "ndcg@10 rise > 1", "test:ndcg drop > 1", "a b ndcg drop > 1", "gain drop > 1", "ndcg@10 drop < 1"} {
		if c, err := ParseCondition(s); err == nil || !strings.HasPrefix(err.Error(), "condition ") {
			t.Errorf("%q: %+v, %v", s, c, err)
		}
	}
}

// FuzzParseCondition: what is read has a limit and a metric, and reads back from its
// parts.
func FuzzParseCondition(f *testing.F) {
	for _, s := range []string{"ndcg@10 drop > 0.01", "pool:x ndcg drop > 0", "full:full: map[E+S] drop > 1.", "ndcg drop > 9e9", "ndcg@1 ndcg@1 drop > .", "\u212a\u212a[ drop > 1"} {
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

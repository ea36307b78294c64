package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// smallProducts: brand, popularity, category. p8 has no popularity, p9 belongs to
// the query that was seen in training.
var smallProducts = map[string]catalog.Product{
	"p1": {ID: "p1", Title: "Acme drill", Brand: "ACME", Popularity: 1000, Category: []string{"Tools", "Drills"}},
	"p2": {ID: "p2", Title: "Other drill", Brand: "Other", Popularity: 50, Category: []string{"Tools"}},
	"p3": {ID: "p3", Title: "Drill bit", Popularity: 5, Category: []string{"Parts"}},
	"p4": {ID: "p4", Title: "Red shoe", Brand: "Shoe", Popularity: 10, Category: []string{"Shoes"}},
	"p5": {ID: "p5", Title: "Sock", Popularity: 20, Category: []string{"Shoes"}},
	"p6": {ID: "p6", Title: "Lamp", Popularity: 100, Category: []string{"Home"}},
	"p7": {ID: "p7", Title: "Cable", Popularity: 1, Category: []string{"Tools"}},
	"p8": {ID: "p8", Title: "Plug"},
	"p9": {ID: "p9", Title: "Seen", Popularity: 7000},
	// p10 is irrelevant for a query that nothing answers
	"p10": {ID: "p10", Title: "Thing", Popularity: 2},
	"p20": {ID: "p20", Title: "judgments.NoLevel", Popularity: 500},
}

// small is an evaluation small enough to check by hand. Full lists, by query:
//
//	          q1 p1=E p2=S p3=I  q2 p4=E p5=I  q3 p6=E  q4 p7=E p8=C  q5 (seen)  q6 p10=I
//	bm25      p1 p3              p4            p6       p8 p7         p9         p10
//	pretrained p2 p3 p20         p5 p4         p6       p8            -          p10
//	finetuned p1 p2 p3           p4 p5         p6       not answered  p9         p10
func small(t testing.TB) Input {
	t.Helper()
	var js []judgments.Judgment
	for _, q := range []struct{ id, text, labels string }{
		{"q1", "acme drill", "p1=E p2=S p3=I"},
		{"q2", "red shoes 42", "p4=E p5=I"},
		{"q3", "lamp", "p6=E"},
		{"q4", "usb cable long black 3m", "p7=E p8=C"},
		{"q5", "Seen  one", "p9=E"},
		{"q6", "no such thing", "p10=I"},
	} {
		for _, l := range strings.Fields(q.labels) {
			p, label, _ := strings.Cut(l, "=")
			js = append(js, judgments.Judgment{QueryID: q.id, Query: q.text, Product: p, Label: judgments.Label(label), Split: "test"})
		}
	}
	run := func(system, kind string, lists map[string]string) *Run {
		r := &Run{System: system, Kind: kind, Hits: map[string][]Hit{}}
		for q, l := range lists {
			r.Hits[q] = ranked(strings.Fields(l)...)
		}
		if err := r.Sort(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	full := []*Run{
		run("bm25", "lexical", map[string]string{"q1": "p1 p3", "q2": "p4", "q3": "p6", "q4": "p8 p7", "q5": "p9", "q6": "p10"}),
		run("pretrained", "dense", map[string]string{"q1": "p2 p3 p20", "q2": "p5 p4", "q3": "p6", "q4": "p8", "q5": "", "q6": "p10"}),
		run("finetuned", "dense", map[string]string{"q1": "p1 p2 p3", "q2": "p4 p5", "q3": "p6", "q5": "p9", "q6": "p10"}),
	}
	pool := []*Run{
		run("bm25", "lexical", map[string]string{"q1": "p1 p3 p2", "q2": "p4 p5", "q3": "p6", "q4": "p8 p7", "q5": "p9", "q6": "p10"}),
		run("pretrained", "dense", map[string]string{"q1": "p2 p3 p1", "q2": "p5 p4", "q3": "p6", "q4": "p8 p7", "q5": "p9", "q6": "p10"}),
		run("finetuned", "dense", map[string]string{"q1": "p1 p2 p3", "q2": "p4 p5", "q3": "p6", "q4": "p7 p8", "q5": "p9", "q6": "p10"}),
	}
	return Input{
		Name: "small", Program: "v0", Qrels: qrelsOf(t, js), Full: full, Pool: pool,
		Models:   map[string]string{"finetuned": "abc"},
		Products: 20,
		Product:  func(id string) (catalog.Product, bool) { p, ok := smallProducts[id]; return p, ok },
		Training: map[string]*Training{"finetuned": {Queries: []string{" SEEN one"}, Products: []string{"p1", "p99"}}},
	}
}

func evaluated(t testing.TB, in Input, o Options) *Report {
	t.Helper()
	if o.Draws == 0 {
		o.Draws = 200
	}
	r, _, err := Evaluate(t.Context(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func metricOf(t testing.TB, task Task, name string) MetricInfo {
	t.Helper()
	for _, m := range task.Metrics {
		if m.Metric == name {
			return m
		}
	}
	t.Fatalf("no metric %s", name)
	return MetricInfo{}
}

func hasNote(r *Report, text string) bool {
	return slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, text) })
}

func TestEvaluateTasks(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	if r.Baseline != "pretrained" || r.Candidate != "finetuned" || r.Control != "bm25" || len(r.Tasks) != 2 || r.Systems[2] != (SystemInfo{Name: "finetuned", Kind: "dense", Model: "abc"}) {
		t.Errorf("%s, %s, %s, %+v", r.Baseline, r.Candidate, r.Control, r.Systems)
	}
	full, pool := r.Tasks[0], r.Tasks[1]
	// q5 was seen in training; q6 has nothing to be found.
	ndcg := metricOf(t, full, "ndcg@10")
	if full.Name != FullTask || full.Queries != 5 || ndcg.Queries != 4 || ndcg.Left != 1 || !slices.Equal(full.Missing, []int{0, 0, 1}) || !slices.Equal(pool.Missing, []int{0, 0, 0}) {
		t.Errorf("%d queries, %+v, missing %v and %v", full.Queries, ndcg, full.Missing, pool.Missing)
	}
	q1, q4 := d1+.1*d2, d1+.01*d2 // ideals; those of q2 and q3 are 1
	for s, want := range []float64{
		(1/q1 + 1 + 1 + (.01*d1+d2)/q4) / 4,
		(.1/q1 + d2 + 1 + .01/q4) / 4,
		(1 + 1 + 1 + 0) / 4., // what is not answered counts
	} {
		if got := float64(ndcg.Values[s].Mean); !near(got, want) {
			t.Errorf("%s: nDCG@10 %g, want %g", r.Systems[s].Name, got, want)
		}
	}
	// At random, each of 20 places holds the mean gain of the query.
	places := 0.
	for i := range 10 {
		places += discount(i)
	}
	if want := places / 20 * (1.1/q1 + 1 + 1 + 1.01/q4) / 4; !near(float64(ndcg.Random), want) {
		t.Errorf("random nDCG@10 %g, want %g", float64(ndcg.Random), want)
	}
	if m := metricOf(t, full, "bpref"); m.Random.Exists() {
		t.Errorf("random bpref %g", float64(m.Random))
	}
	// In the pool nDCG of the full list; one order of a single product is all there is.
	if m := metricOf(t, pool, "ndcg"); !near(float64(m.Values[2].Mean), 1) || !near(float64(m.Random), (1.1*(d1+d2+d3)/3/q1+(d1+d2)/2+1+1.01*(d1+d2)/2/q4)/4) {
		t.Errorf("%+v", m)
	}
	// judged@10 compares nothing: that finetuned did not answer q4 is no matter of the others.
	if m := metricOf(t, full, "judged@10"); m.Queries != 5 || !m.Neutral || !near(float64(m.Values[1].Mean), (2./3+4)/5) || !near(float64(m.Values[2].Mean), 1) {
		t.Errorf("%+v", m)
	}
	for _, note := range []string{
		"finetuned (full): 1 of 5 queries is not in its run and counts as answered with nothing",
		"1 of 5 queries has no relevant product and is left out of nDCG@10",
		"with 5 queries only large differences",
		"finetuned saw 1 of the 6 judged queries in training",
	} {
		if !hasNote(r, note) {
			t.Errorf("no note %q in %q", note, r.Notes)
		}
	}
	// The candidate against the baseline comes first, then against the control.
	if len(r.Verdicts) != 6 || !strings.HasPrefix(r.Verdicts[0], "Full catalogue: ") || !strings.Contains(r.Verdicts[0], "inetuned and pretrained") || !strings.Contains(r.Verdicts[1], "bm25") || !strings.HasPrefix(r.Verdicts[3], "Judged pool: ") {
		t.Errorf("%q", r.Verdicts)
	}
	levels := ""
	for _, l := range r.Judgments.Levels {
		levels += fmt.Sprintf("%s %d %t ", l.Label, l.Count, l.Relevant)
	}
	if levels != "I 3 false C 1 false S 1 false E 5 true " {
		t.Error(levels)
	}
}

func TestEvaluateValues(t *testing.T) {
	_, values, err := Evaluate(t.Context(), small(t), Options{Draws: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(values) != 6 || values[2].Task != FullTask || values[2].System != "finetuned" || values[3].Task != PoolTask {
		t.Fatalf("%d values", len(values))
	}
	v := values[2]
	var got []string
	for i, q := range v.Queries {
		got = append(got, fmt.Sprintf("%s=%.3f", q.ID, v.Rows[i][0]))
	}
	if s := strings.Join(got, " "); s != "q1=1.000 q2=1.000 q3=1.000 q4=0.000 q6=NaN" {
		t.Error(s)
	}
}

func TestEvaluateMovements(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	var names []string
	for _, m := range r.Movements {
		names = append(names, m.From+">"+m.To+"/"+m.Control)
	}
	if s := strings.Join(names, " "); s != "pretrained>finetuned/bm25 bm25>pretrained/ bm25>finetuned/" {
		t.Fatal(s)
	}
	for i, want := range []MovementRow{
		{Label: "E", Gained: 1, GainedInControl: 1, Promoted: 1, Kept: 1}, // p1 comes; p4 rises; p6
		{Label: "S", Demoted: 1},                // p2 falls behind p1
		{Label: "C", Lost: 1, LostInControl: 1}, // p8
		{Label: "I", Demoted: 2, Kept: 1},       // p3, p5; p10
		{Label: "unjudged", Lost: 1},            // p20
	} {
		if got := r.Movements[0].Rows[i]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestEvaluateSegments(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	got := map[string]string{}
	for _, s := range r.Segments {
		var rows []string
		for _, row := range s.Rows {
			rows = append(rows, fmt.Sprintf("%s:%d:%.2f", row.Value, row.Queries, float64(row.Difference)))
			if row.Low > row.Difference || row.High < row.Difference || len(row.Means) != 3 {
				t.Errorf("%s: %+v", s.By, row)
			}
		}
		got[s.By] = strings.Join(rows, " ")
	}
	// Gains of finetuned: q1 .91, q2 .37, q3 0, q4 -.01.
	for by, want := range map[string]string{
		"words in the query":             "1:1:0.00 2:1:0.91 3:1:0.37 5 or more:1:-0.01",
		"digits in the query":            "yes:2:0.18 no:2:0.45",
		"a brand in the query":           "yes:1:0.91 no:3:0.12", // acme, whatever its case
		"popularity of what is relevant": "head:2:0.45 tail:2:0.18",
		"department":                     "Tools:2:0.45 Home:1:0.00 Shoes:1:0.37", // the most queries first, then by name
	} {
		if got[by] != want {
			t.Errorf("%s: %s, want %s", by, got[by], want)
		}
	}
	if len(r.Segments) != 5 {
		t.Errorf("%d segments", len(r.Segments))
	}
	// The query in the middle belongs to the head: without q4 that is q3.
	in := small(t)
	in.Qrels = in.Qrels.Only(func(q *judgments.Query) bool { return q.ID != "q4" })
	for _, s := range evaluated(t, in, Options{}).Segments {
		if s.By == "popularity of what is relevant" && (s.Rows[0].Value != "head" || s.Rows[0].Queries != 2 || s.Rows[1].Queries != 1) {
			t.Errorf("%+v", s.Rows)
		}
	}
}

// Departments beyond the first eleven are one segment.
func TestManySegments(t *testing.T) {
	in := Input{Products: 40, Full: []*Run{{System: "a", Hits: map[string][]Hit{}}, {System: "b", Hits: map[string][]Hit{}}}}
	var js []judgments.Judgment
	for i := range 20 {
		id := fmt.Sprintf("q%02d", i)
		js = append(js, judgments.Judgment{QueryID: id, Query: fmt.Sprint("text ", i), Product: "p" + id, Label: "E"})
		in.Full[0].Hits[id] = ranked("x", "p"+id)
		in.Full[1].Hits[id] = ranked("p"+id, "x")
	}
	in.Qrels = qrelsOf(t, js)
	in.Product = func(id string) (catalog.Product, bool) {
		return catalog.Product{ID: id, Category: []string{"dep " + id}}, strings.HasPrefix(id, "p")
	}
	for _, s := range evaluated(t, in, Options{}).Segments {
		if s.By != "department" {
			continue
		}
		if last := s.Rows[len(s.Rows)-1]; len(s.Rows) != mostSegments || last.Value != "all others" || last.Queries != 9 || s.Rows[0].Value != "dep pq00" {
			t.Errorf("%+v", s.Rows)
		}
		return
	}
	t.Error("no departments")
}

func TestEvaluateAgreement(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	if len(r.Agreement) != 3 {
		t.Fatalf("%+v", r.Agreement)
	}
	a := r.Agreement[2]
	// q1 {p2 p3 p20} {p1 p2 p3}; q2 turned round; q3 and q6 the same; q4 one side only.
	overlap := (2./3 + 1 + 1 + 0 + 1) / 5
	rbo := (RBO([]string{"p2", "p3", "p20"}, []string{"p1", "p2", "p3"}, .9) + RBO([]string{"p5", "p4"}, []string{"p4", "p5"}, .9) + 1 + 0 + 1) / 5
	tau := (1. - 1) / 2 // q1, q2
	if a.A != "pretrained" || a.B != "finetuned" || !near(float64(a.Overlap), overlap) || !near(float64(a.RBO), rbo) || !near(float64(a.Tau), tau) {
		t.Errorf("%+v, want %g, %g, %g", a, rbo, overlap, tau)
	}
	// bm25 and finetuned share two products in q1 only, in the same order.
	if a = r.Agreement[1]; a.A != "bm25" || a.B != "finetuned" || a.Tau != 1 {
		t.Errorf("%+v", a)
	}
}

func TestEvaluatePopularity(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	p := r.Popularity
	// Judged, with a popularity, not of q5: 1 2 5 10 20 50 100 1000.
	if p == nil || p.Head != 15 || p.Metric != "ndcg@10" || len(p.Systems) != 3 {
		t.Fatalf("%+v", p)
	}
	// Only q1 has three hits. finetuned: 1000 50 5. pretrained: 50 5 500, ranks 2 3 1.
	if got := p.Systems[2].Rho; got != 1 {
		t.Errorf("rho of finetuned %g", float64(got))
	}
	if got := p.Systems[1].Rho; got != -.5 {
		t.Errorf("rho of pretrained %g", float64(got))
	}
	if p.Systems[0].Rho.Exists() {
		t.Errorf("rho of bm25 %g", float64(p.Systems[0].Rho))
	}
	// Head: p1 p2 p5 p6, so q1 and q3. Tail: q2, and q4, which was not answered.
	if s := p.Systems[2]; !near(float64(s.Head), 1) || !near(float64(s.Tail), .5) {
		t.Errorf("%+v", s)
	}
	logs := 0.
	for _, v := range []float64{1000, 50, 5, 10, 20, 100, 2} {
		logs += math.Log10(1+v) / 7
	}
	if s := p.Systems[2]; !near(float64(s.MeanLog), logs) {
		t.Errorf("%g, want %g", float64(s.MeanLog), logs)
	}
}

func TestSpearman(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{9, 8, 7}, 1}, {[]float64{7, 8, 9}, -1}, {[]float64{1, 1, 1}, math.NaN()}, {[]float64{2, 1}, math.NaN()},
		{[]float64{5, 5, 1}, 1.5 / math.Sqrt(2*1.5)}, // ranks .5 .5 2 against 0 1 2
		{[]float64{3, 1, 2, 0}, .8},                  // 1 - 6*(1+1)/(4*15)
	} {
		if got := spearmanWithRank(c.values); !near(got, c.want) {
			t.Errorf("%v: %g, want %g", c.values, got, c.want)
		}
	}
}

func TestEvaluateLeakage(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	l := r.Leakage
	if l == nil || len(l.Systems) != 2 || l.Systems[0].System != "pretrained" || l.Systems[0].Recorded || l.Systems[0].SeenProducts.Exists() {
		t.Fatalf("%+v", l)
	}
	s := l.Systems[1]
	if !s.Recorded || s.Queries != 1 || s.Products != 1 || !near(float64(s.SeenProducts), 1) {
		t.Errorf("%+v", s)
	}
	// Without p1, q1's best is p2, which stands second.
	if want := (d2 + 1 + 1 + 0) / 4; !near(float64(s.UnseenProducts), want) {
		t.Errorf("%g, want %g", float64(s.UnseenProducts), want)
	}
	if l.Seen == nil || l.Seen.Queries != 1 || l.Seen.Metrics[0].Values[2].Mean != 1 || l.Seen.Metrics[0].Values[1].Mean != 0 || !strings.HasPrefix(l.Seen.Title, "Queries seen in training. ") {
		t.Errorf("%+v", l.Seen)
	}
	for _, q := range r.Queries {
		if q.ID == "q5" {
			t.Error("a query seen in training is shown among the results")
		}
	}
	// What was seen may hold nothing to be found: that says nothing of the rest.
	in := small(t)
	in.Training["finetuned"].Queries = []string{"no such thing"}
	if r = evaluated(t, in, Options{}); r.Leakage.Seen == nil || r.Leakage.Seen.Metrics[0].Queries != 0 || r.Tasks[0].Queries != 5 {
		t.Errorf("%+v", r.Leakage)
	}
	// Neither dense systems nor training: nothing to tell.
	in = small(t)
	in.Full, in.Pool, in.Training = in.Full[:1], nil, nil
	if r = evaluated(t, in, Options{}); r.Leakage != nil {
		t.Errorf("%+v", r.Leakage)
	}
}

// Where queries have ids only, nobody knows whether they were seen; to say that none
// was would be a promise.
func TestTrainingCannotBeCheckedWithoutTexts(t *testing.T) {
	in := small(t)
	for i := range in.Qrels.Queries {
		in.Qrels.Queries[i].Text = ""
	}
	r := evaluated(t, in, Options{})
	if !hasNote(r, "6 of the 6 judged queries have no text, so that nobody can tell whether finetuned saw them") || len(r.Segments) != 0 {
		t.Errorf("%q, %d segments", r.Notes, len(r.Segments))
	}
}

func TestEvaluateQueries(t *testing.T) {
	r := evaluated(t, small(t), Options{})
	var got []string
	for _, q := range r.Queries {
		got = append(got, fmt.Sprintf("%s=%.2f", q.ID, float64(q.Difference)))
	}
	if s := strings.Join(got, " "); s != "q1=0.91 q2=0.37 q3=0.00 q4=-0.01 q6=NaN" || r.Omitted != 0 {
		t.Errorf("%s, %d left out", s, r.Omitted)
	}
	q := r.Queries[0]
	if q.Text != "acme drill" || q.Judged != 3 || q.Relevant != 1 || q.Systems[1].Hits[2] != (HitReport{Product: "p20", Title: "judgments.NoLevel", Score: 1}) || q.Systems[2].Hits[0].Label != "E" {
		t.Errorf("%+v", q)
	}
	// Half are gains and half losses: a query without a value must not take the
	// place of the greatest loss.
	for shown, want := range map[int]string{1: "q1", 2: "q1 q4", 3: "q1 q2 q4", 4: "q1 q2 q3 q4"} {
		r := evaluated(t, small(t), Options{Shown: shown, Depth: 1})
		var ids []string
		for _, q := range r.Queries {
			ids = append(ids, q.ID)
			for _, s := range q.Systems {
				if len(s.Hits) > 1 {
					t.Errorf("%d hits", len(s.Hits))
				}
			}
		}
		if s := strings.Join(ids, " "); s != want || r.Omitted != 5-shown {
			t.Errorf("%d shown: %s, want %s; %d left out", shown, s, want, r.Omitted)
		}
	}
	// One system: no differences.
	in := small(t)
	in.Full, in.Pool = in.Full[:1], nil
	r = evaluated(t, in, Options{Shown: 3})
	if r.Baseline != "" || len(r.Queries) != 3 || r.Omitted != 2 || r.Queries[0].Difference.Exists() || len(r.Movements) != 0 || len(r.Tasks[0].Comparisons) != 0 {
		t.Errorf("%+v", r.Queries)
	}
}

func TestEvaluatePoolOnly(t *testing.T) {
	in := small(t)
	in.Full = nil
	r := evaluated(t, in, Options{})
	if len(r.Tasks) != 1 || r.Tasks[0].Name != PoolTask || len(r.Options.Metrics) != 0 || len(r.Movements)+len(r.Agreement) != 0 || r.Popularity != nil || len(r.Segments) == 0 || len(r.Queries) != 5 || r.Leakage.Seen.Name != PoolTask {
		t.Errorf("%+v", r)
	}
	if strings.HasPrefix(r.Verdicts[0], "Judged pool") { // there is no other task to tell it from
		t.Error(r.Verdicts[0])
	}
}

func TestEvaluateNotesUnjudgedHits(t *testing.T) {
	in := small(t)
	for _, r := range in.Full {
		for q, hits := range r.Hits {
			r.Hits[q] = append(hits, Hit{"u1", -1}, Hit{"u2", -2})
		}
	}
	if r := evaluated(t, in, Options{}); !hasNote(r, "% of the first ten hits of bm25 are judged") && !hasNote(r, "% of the first ten hits of pretrained are judged") {
		t.Errorf("%q", r.Notes)
	}
}

func TestEvaluateErrors(t *testing.T) {
	for _, c := range []struct {
		change func(in *Input, o *Options)
		says   string
	}{
		{func(in *Input, _ *Options) { in.Qrels = nil }, "there are no queries"},
		{func(in *Input, _ *Options) { in.Qrels = &judgments.Set{Scale: judgments.ESCI()} }, "there are no queries"},
		{func(in *Input, _ *Options) { in.Full, in.Pool = nil, nil }, "there are no rankings"},
		{func(in *Input, _ *Options) { in.Full[1].System = "bm25" }, `"bm25" is empty or given twice`},
		{func(in *Input, _ *Options) { in.Full[1].System = "" }, `"" is empty or given twice`},
		{func(in *Input, _ *Options) { in.Pool = in.Pool[:2] }, "not of the same systems"},
		{func(in *Input, _ *Options) { in.Pool[0], in.Pool[1] = in.Pool[1], in.Pool[0] }, "not of the same systems"},
		{func(in *Input, _ *Options) {
			for _, q := range in.Qrels.Queries {
				in.Training["finetuned"].Queries = append(in.Training["finetuned"].Queries, q.Text)
			}
		}, "every judged query was seen in training"},
		{func(in *Input, _ *Options) {
			in.Qrels = in.Qrels.Only(func(q *judgments.Query) bool { return q.ID == "q6" })
		}, "the judgements hold no relevant product"},
		{func(in *Input, _ *Options) { in.Full[2].Hits["q3"][0].Score = math.Inf(1) }, "is not a finite number"},
		{func(in *Input, _ *Options) { in.Pool[2].Hits["q3"][0].Score = math.NaN() }, "is not a finite number"},
		{func(_ *Input, o *Options) { o.Draws = 99 }, "99 draws"},
		{func(_ *Input, o *Options) { o.Tie = 2 }, "a tie below 2"},
		{func(_ *Input, o *Options) { o.Depth = 101 }, "101 hits"},
		{func(_ *Input, o *Options) { o.Shown = -1 }, "-1 queries"},
		{func(_ *Input, o *Options) { o.Relevant = "X" }, `"X" is no label`},
		{func(_ *Input, o *Options) { o.Tables = []judgments.GainTable{{Name: "short", Gains: []float64{1}}} }, "1 gains for a scale of 4 levels"},
		{func(_ *Input, o *Options) { o.Metrics = metricsOf(t, "ndcg{mine}@10") }, `no gain table "mine"`},
		{func(_ *Input, o *Options) { o.Metrics = metricsOf(t, "mrr@10", "ndcg@10", "mrr@10") }, "mrr@10 is given twice"},
		{func(_ *Input, o *Options) { o.PoolMetrics = metricsOf(t, "judged@10") }, "judged@10 cannot decide"},
	} {
		in, o := small(t), Options{Draws: 100}
		c.change(&in, &o)
		_, _, err := Evaluate(t.Context(), in, o)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "cannot evaluate: ") {
			t.Errorf("error %v, want %q", err, c.says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Evaluate(ctx, small(t), Options{}); err != context.Canceled {
		t.Errorf("error %v of a cancelled evaluation", err)
	}
}

func TestSortingRuns(t *testing.T) {
	r := &Run{System: "s", Hits: map[string][]Hit{"q": {{"b", 1}, {"c", 2}, {"a", 1}}, "none": nil}}
	if err := r.Sort(); err != nil || fmt.Sprint(r.Hits["q"]) != "[{c 2} {a 1} {b 1}]" {
		t.Errorf("%v, %v", r.Hits["q"], err)
	}
	for range 20 { // the first query is named, whatever the order of the map
		r = &Run{System: "s", Hits: map[string][]Hit{"q1": {{"a", 1}}, "q2": {{"a", 1}, {"b", math.NaN()}}, "q3": {{"a", 1}, {"b", 3}, {"a", 2}}, "q4": {{"a", math.NaN()}}}}
		if err := r.Sort(); err == nil || err.Error() != `cannot use run s: query "q2": the score of product "b" is not a number` {
			t.Fatal(err)
		}
	}
	delete(r.Hits, "q2")
	if err := r.Sort(); err == nil || err.Error() != `cannot use run s: query "q3" lists product "a" twice` {
		t.Error(err)
	}
}

func TestReportsAreDeterministic(t *testing.T) {
	bytes := func() string {
		in := small(t)
		in.Spaces = map[string]Space{"pretrained": randomSpace(1, 40, 8), "finetuned": randomSpace(2, 40, 8)}
		b, err := json.Marshal(evaluated(t, in, Options{Draws: 2000}))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := bytes()
	for range 3 {
		if bytes() != want {
			t.Fatal("a second evaluation gives another report")
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if bytes() != want {
		t.Error("one processor gives another report than several")
	}
}

func TestReportsSurviveJSON(t *testing.T) {
	in := small(t)
	in.Spaces = map[string]Space{"pretrained": randomSpace(1, 40, 8), "finetuned": randomSpace(2, 40, 8)}
	in.Faults.Add(&faults.Fault{File: "f", Line: 3, Kind: faults.BadLabel, Reason: "bad"})
	r := evaluated(t, in, Options{})
	if !hasNote(r, "Faulty judgements that were left out: 1") {
		t.Errorf("%q", r.Notes)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(`"difference":null`)) || bytes.Contains(b, []byte("NaN")) {
		t.Error("what does not exist is not null")
	}
	var again Report
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if c, err := json.Marshal(&again); err != nil || !bytes.Equal(b, c) {
		t.Errorf("read and written again, a report is another: %v", err)
	}
	if again.Queries[4].Difference.Exists() || !again.Queries[0].Difference.Exists() {
		t.Error("null is not what does not exist")
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if b, err := json.Marshal(Number(x)); err != nil || string(b) != "null" {
			t.Errorf("%g is %s, %v", x, b, err)
		}
	}
}

// space holds vectors in memory.
type space struct {
	vectors [][]float32
	broken  error
}

func (s *space) Rows() int                { return len(s.vectors) }
func (s *space) Vector(row int) []float32 { return s.vectors[row] }
func (s *space) ID(row int) string        { return fmt.Sprint("p", row) }

func (s *space) Similar(_ context.Context, id string, k int) ([]string, error) {
	var of int
	fmt.Sscanf(id, "p%d", &of)
	order := make([]int, 0, len(s.vectors))
	for i := range s.vectors {
		if i != of {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := dot(s.vectors[of], s.vectors[a]), dot(s.vectors[of], s.vectors[b])
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	var out []string
	for _, i := range cut(order, k) {
		out = append(out, s.ID(i))
	}
	return out, s.broken
}

// randomSpace has vectors that point everywhere alike.
func randomSpace(seed uint64, rows, dim int) *space {
	r := rand.New(rand.NewPCG(9, seed))
	return spaceOf(rows, dim, func(_, _ int) float64 { return r.NormFloat64() })
}

// spaceOf makes unit vectors of what at gives.
func spaceOf(rows, dim int, at func(row, i int) float64) *space {
	s := &space{}
	for row := range rows {
		v, sum := make([]float32, dim), 0.
		for i := range v {
			x := at(row, i)
			v[i] = float32(x)
			sum += x * x
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(sum))
		}
		s.vectors = append(s.vectors, v)
	}
	return s
}

func TestDriftOfEqualSpaces(t *testing.T) {
	in := small(t)
	in.Spaces = map[string]Space{"pretrained": randomSpace(1, 100, 8), "finetuned": randomSpace(1, 100, 8)}
	d := evaluated(t, in, Options{}).Drift
	if d.A != "pretrained" || d.B != "finetuned" || d.Products != 100 || !near(float64(d.Neighbours), 1) || d.Overlap != 1 || math.Abs(float64(d.Cosine.Least)-1) > 1e-6 || math.Abs(float64(d.Cosine.Most)-1) > 1e-6 {
		t.Errorf("%+v, %+v", d, d.Cosine)
	}
	// Neighbours of random vectors have nothing to do with each other.
	in.Spaces["finetuned"] = randomSpace(2, 100, 8)
	if d = evaluated(t, in, Options{}).Drift; d.Neighbours > .4 || math.Abs(float64(d.Cosine.Mean)) > .15 || d.Cosine.Std < .2 {
		t.Errorf("%+v, %+v", d, d.Cosine)
	}
	// Another dimension: vectors cannot be compared, neighbours can.
	in.Spaces["finetuned"] = randomSpace(2, 100, 5)
	if d = evaluated(t, in, Options{}).Drift; d.Cosine != nil || !d.Neighbours.Exists() || d.Models[1].Dimension != 5 {
		t.Errorf("%+v", d)
	}
	// One space alone is described, not compared.
	delete(in.Spaces, "pretrained")
	if d = evaluated(t, in, Options{}).Drift; d.A != "" || d.Neighbours.Exists() || len(d.Models) != 1 {
		t.Errorf("%+v", d)
	}
	in.Spaces["pretrained"] = randomSpace(1, 99, 5)
	if _, _, err := Evaluate(t.Context(), in, Options{Draws: 100}); err == nil || !strings.Contains(err.Error(), "99 vectors and finetuned 100") {
		t.Errorf("error %v", err)
	}
	in.Spaces["pretrained"] = &space{vectors: randomSpace(1, 100, 5).vectors, broken: context.DeadlineExceeded}
	if _, _, err := Evaluate(t.Context(), in, Options{Draws: 100}); err == nil {
		t.Error("no error of a space that broke")
	}
}

func TestCollapse(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	in := small(t)
	in.Spaces = map[string]Space{
		"pretrained": randomSpace(1, 300, 8),
		"finetuned":  spaceOf(300, 8, func(_, _ int) float64 { return 1 + .05*r.NormFloat64() }),
	}
	report := evaluated(t, in, Options{})
	a, b := report.Drift.Models[0], report.Drift.Models[1]
	if a.Collapsed || math.Abs(float64(a.Anisotropy)) > .05 || !b.Collapsed || b.Anisotropy < .99 || !hasNote(report, "finetuned has collapsed") || hasNote(report, "pretrained has collapsed") {
		t.Errorf("%+v\n%+v\n%q", a, b, report.Notes)
	}
}

// Vectors that are not numbers must end in figures that do not exist, not in a
// search for two vectors with a cosine.
func TestDriftOfBrokenVectors(t *testing.T) {
	in := small(t)
	in.Spaces = map[string]Space{"finetuned": spaceOf(10, 4, func(_, _ int) float64 { return 0 })} // 0/0
	if g := evaluated(t, in, Options{}).Drift.Models[0]; g.Anisotropy.Exists() || g.Collapsed {
		t.Errorf("%+v", g)
	}
	in.Spaces["finetuned"] = randomSpace(1, 1, 4)
	if g := evaluated(t, in, Options{}).Drift.Models[0]; g.Anisotropy.Exists() || g.Dimensions.Exists() {
		t.Errorf("one product: %+v", g)
	}
}

func TestParticipation(t *testing.T) {
	flat := func(s *space) (out []float32) {
		for _, v := range s.vectors {
			out = append(out, v...)
		}
		return out
	}
	r := rand.New(rand.NewPCG(9, 10))
	for _, c := range []struct {
		name      string
		space     *space
		low, high float64
	}{
		{"all directions alike", randomSpace(1, 4000, 8), 7.9, 8},
		{"one line", spaceOf(100, 8, func(row, i int) float64 { return float64(row%2*2-1) * float64(i+1) }), 1 - 1e-6, 1 + 1e-6},
		// Vectors on a circle: two directions, with a variance of a half each.
		{"a circle", spaceOf(720, 8, func(row, i int) float64 {
			return []float64{math.Cos(float64(row) * math.Pi / 360), math.Sin(float64(row) * math.Pi / 360), 0, 0, 0, 0, 0, 0}[i]
		}), 2 - 1e-6, 2 + 1e-6},
		{"a cone", spaceOf(4000, 8, func(_, i int) float64 { return r.NormFloat64() + float64(max(0, 1-i))*20 }), 6.5, 8},
	} {
		if got := participation(flat(c.space), 8); !(got >= c.low && got <= c.high) {
			t.Errorf("%s: %g, want %g to %g", c.name, got, c.low, c.high)
		}
	}
}

// TestScoresByLabel: separation is the share of pairs of a relevant and another
// product of a query that are in order, a tie counting half.
func TestScoresByLabel(t *testing.T) {
	in := small(t)
	in.Qrels = qrelsOf(t, judgmentsOf("q1 a E", "q1 b I", "q1 c E", "q1 d S", "q2 a E", "q2 b E", "q3 a E", "q3 b I"))
	in.Full, in.Training = nil, nil
	in.Pool = []*Run{{System: "m", Hits: map[string][]Hit{
		"q1": {{"a", 4}, {"b", 3}, {"c", 3}, {"d", 1}, {"x", 9}}, // a>b a>d c=b c>d: 3.5 of 4; x is not judged
		"q2": {{"a", 1}, {"b", 0}},                               // no pair
		"q3": {{"b", 5}, {"a", 0}},                               // 0 of 1
	}}}
	if err := in.Pool[0].Sort(); err != nil {
		t.Fatal(err)
	}
	in.Spaces = map[string]Space{"m": randomSpace(1, 10, 4)}
	g := evaluated(t, in, Options{}).Drift.Models[0]
	if want := (3.5/4 + 0) / 2; !near(float64(g.Separation), want) {
		t.Errorf("separation %g, want %g", float64(g.Separation), want)
	}
	var labels []string
	for _, s := range g.Scores {
		sum := 0
		for _, n := range s.Bins {
			sum += n
		}
		labels = append(labels, fmt.Sprint(s.Label, s.Count))
		if sum != s.Count || s.From != 0 || s.To != 5 || len(s.Bins) != histogramBins {
			t.Errorf("%+v", s)
		}
	}
	if !reflect.DeepEqual(labels, []string{"I2", "S1", "E5"}) || g.Scores[0].Bins[histogramBins-1] != 1 || g.Scores[2].Bins[0] != 2 {
		t.Errorf("%v, %+v", labels, g.Scores)
	}
}

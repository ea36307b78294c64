package eval

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/judgments"
)

// TestNobodyJudged: of a log of queries it is said how alike the rankings are.
func TestNobodyJudged(t *testing.T) {
	in := small(t)
	for i := range in.Qrels.Queries {
		q := &in.Qrels.Queries[i]
		q.Products, q.Levels = nil, nil
	}
	in.Qrels.Count, in.Pool = 0, nil
	r, values, err := Evaluate(t.Context(), in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tasks) > 0 || len(values) > 0 || len(r.Agreement) != 3 || len(r.Verdicts) != 3 || len(r.Queries) != 6 || len(r.Movements) == 0 ||
		!strings.Contains(r.Verdicts[0], "Of their first 10 hits bm25 and pretrained share") || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "not which is better") }) {
		t.Errorf("%+v", r)
	}
	for _, m := range r.Movements {
		if len(m.Rows) != 1 || m.Rows[0].Label != "unjudged" {
			t.Errorf("movements %+v", m.Rows)
		}
	}
}

// TestNothingIsWorthAGain: a pilot in which everything was judged 0.
func TestNothingIsWorthAGain(t *testing.T) {
	in := Input{Qrels: qrelsOf(t, judgmentsOf("q a 0", "q b 0", "r c 0"))}
	run := &Run{System: "one", Hits: map[string][]Hit{"q": ranked("b", "a"), "r": ranked("c")}}
	in.Full = []*Run{run, {System: "two", Hits: map[string][]Hit{"q": ranked("a", "x"), "r": ranked("c")}}}
	r, _, err := Evaluate(t.Context(), in, Options{})
	if err != nil || len(r.Tasks) > 0 || len(r.Agreement) != 1 || !strings.HasPrefix(r.Notes[len(r.Notes)-1], "No label has a gain, all are 0: ") {
		t.Errorf("%+v, error %v", r, err)
	}
}

// TestNoLabelReachesOne: nDCG needs no relevant labels, recall and its like do.
func TestNoLabelReachesOne(t *testing.T) {
	in := Input{Qrels: qrelsOf(t, judgmentsOf("q a 0.9", "q b 0.2", "q c 0", "r d 0.5"))}
	run := &Run{System: "one", Hits: map[string][]Hit{"q": ranked("b", "a"), "r": ranked("d")}}
	in.Full = []*Run{run, {System: "two", Hits: map[string][]Hit{"q": ranked("a", "b"), "r": ranked("d")}}}
	r, _, err := Evaluate(t.Context(), in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Tasks[0].Metrics {
		parsed, err := ParseMetric(m.Metric)
		if err != nil || kinds[parsed.Name].binary {
			t.Errorf("%s is there", m.Metric)
		}
	}
	if m := r.Tasks[0].Metrics[0]; m.Metric != "ndcg@10" || !near(float64(m.Values[1].Mean), 1) || !(float64(m.Values[0].Mean) < 1) {
		t.Errorf("%+v", m)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "--relevant '>=0.45'") }) {
		t.Errorf("notes %q", r.Notes)
	}
	m, _ := ParseMetric("recall@10")
	if _, _, err := Evaluate(t.Context(), in, Options{Metrics: []Metric{m}}); err == nil || !strings.Contains(err.Error(), "--relevant") {
		t.Errorf("error %v", err)
	}
}

func TestTies(t *testing.T) {
	hits := []Hit{{"a", 3}, {"b", 2}, {"c", 2}, {"d", 1}, {"e", 1}}
	for k, want := range map[int][2]int{1: {0, 1}, 2: {1, 2}, 3: {2, 3}, 4: {3, 4}, 10: {4, 5}} {
		if tied, places := tiedPlaces(hits, k); tied != want[0] || places != want[1] {
			t.Errorf("%d of %d places among the first %d", tied, places, k)
		}
	}
	in := small(t)
	before, _, err := Evaluate(t.Context(), in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	says := func(r *Report) bool {
		return slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "equal scores decide") })
	}
	in.Full[1].Kind = ""
	for _, hits := range in.Full[1].Hits {
		for i := range hits {
			hits[i].Score = 1
		}
	}
	after, _, err := Evaluate(t.Context(), in, Options{})
	if err != nil || says(before) || !says(after) {
		t.Errorf("notes %q, then %q, error %v", before.Notes, after.Notes, err)
	}
}

// TestUnjudged: a spreadsheet opens the table unharmed, and what it saves is read back.
func TestUnjudged(t *testing.T) {
	in := Input{Qrels: qrelsOf(t, []judgments.Judgment{{QueryID: "00123", Query: "=1+1 cable", Product: "P1", Label: "E", Split: "test"}, {Query: "caf\u00e9", Product: "P1", Label: "I"}})}
	in.Full = []*Run{{System: "one", Hits: map[string][]Hit{"00123": ranked("P1", "4006381333931"), judgments.ID("caf\u00e9"): ranked("-5x", "P1")}},
		{System: "two", Hits: map[string][]Hit{"00123": ranked("4006381333931")}}}
	in.Product = func(id string) (catalog.Product, bool) {
		return catalog.Product{ID: id, Title: "@home, \"" + id + "\"", Brand: "+B", Image: "http://x/1.jpg"}, true
	}
	var b bytes.Buffer
	if err := WriteUnjudged(&b, in); err != nil {
		t.Fatal(err)
	}
	id := judgments.ID("caf\u00e9")
	want := "\ufeffquery_id,query,product_id,label,split,title,brand,image,best_rank,ranks\n" +
		"\"\u00a000123\",\" =1+1 cable\",\"\u00a04006381333931\",,test,\" @home, \"\"4006381333931\"\"\",\" +B\",http://x/1.jpg,1,one:2 two:1\n" +
		id + ",caf\u00e9,\" -5x\",,,\" @home, \"\"-5x\"\"\",\" +B\",http://x/1.jpg,1,one:1\n"
	if got := b.String(); got != want {
		t.Fatalf("%q\nwant\n%q", got, want)
	}
	path := filepath.Join(t.TempDir(), "filled.csv")
	os.WriteFile(path, []byte(strings.Replace(b.String(), ",,test", ",S,test", 1)), 0o644)
	src, err := judgments.Read([]string{path}, judgments.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set, report, err := judgments.NewSet(src, judgments.Options{})
	if err != nil || report.Unlabelled != 1 || len(set.Queries) != 1 {
		t.Fatalf("%+v, %+v, error %v", set, report, err)
	}
	if q := set.Queries[0]; q.ID != "00123" || q.Text != "=1+1 cable" || q.Split != "test" || q.Level("4006381333931") != 2 {
		t.Errorf("%+v", q)
	}
}

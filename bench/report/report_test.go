package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/eval"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func result(index, nprobe, k string, recall, ndcg, p50 float64) bench.Result {
	r := bench.Result{Name: "Search", Params: []bench.Param{{Key: "index", Value: index}}, Runs: 100}
	if nprobe != "" {
		r.Params = append(r.Params, bench.Param{Key: "nprobe", Value: nprobe})
		r.Against = &eval.Comparison{Queries: 94, Difference: eval.Number(ndcg - .628), Low: eval.Number(ndcg - .64), High: eval.Number(ndcg - .61)}
	}
	r.Params = append(r.Params, bench.Param{Key: "k", Value: k})
	r.Metrics = []bench.Metric{{Unit: "recall@" + k, Value: recall}, {Unit: bench.Quality, Value: ndcg}, {Unit: bench.Median, Value: p50}, {Unit: bench.VectorBytes, Value: 1536}}
	return r
}

func fixture() *bench.Report {
	exact, lists, coded := result("Flat", "", "10", 1, .628, 1.2345e6), result("IVF173,Flat", "16", "10", .987, .6271, 310e3), result("IVF173,SQ8", "16", "10", .951, .6202, 120e3)
	recall := func(r bench.Result, v float64) bench.Result {
		r.Metrics = append([]bench.Metric{{Unit: "recall@10", Value: v}}, r.Metrics[1:]...)
		return r
	}
	return &bench.Report{
		Title: "Recall and latency", Subject: `shop <script>alert("x")</script>`, Date: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Machine: bench.Machine{Processor: "A processor", Cores: 2, System: "linux/amd64", Program: "trirank 1", Commit: "abc", Libraries: map[string]string{"FAISS": "1.12.0"}},
		Notes:   []string{"Something to know."},
		Sections: []bench.Section{
			{
				Title: "Indexes", Text: "How to read it.", Results: []bench.Result{exact, lists, coded, result("IVF173,SQ8", "1", "10", .4, .31, 9e3), result("IVF173,Flat", "32", "10", .99, .627, 2e6)},
				Plots: []bench.Plot{{X: bench.Median, Y: "recall@10", Series: "index", Where: "k=10", LogX: true, Front: true}},
			},
			{
				Title: "Where relevance is lost",
				Waterfall: &bench.Waterfall{Steps: []bench.Step{
					{Name: "exact search", Result: recall(exact, 1)},
					{Name: "inverted lists", Result: recall(lists, .987), Lost: lists.Against, LostRecall: .013},
					{Name: "quantized vectors", Result: recall(coded, .951), Lost: coded.Against, LostRecall: .036},
				}},
			},
			{Title: "Choice", Choice: &bench.Choice{Chosen: coded, Factory: "IVF173,SQ8", Evidence: "it will do"}},
		},
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, fixture()); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.String())
}

func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, fixture()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	golden(t, "report.html", page)
	if strings.Contains(page, "<script") {
		t.Error("text is taken for markup")
	}
	for _, bad := range []string{"NaN", "Inf", "%!", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("there is %s in the page", bad)
		}
	}
	if n := strings.Count(page, "<circle"); n != 5 {
		t.Errorf("%d points, not 5", n)
	}
	// All but the last one, which takes longer for less.
	if n := strings.Count(page, `<tr class="best">`); n != 4 {
		t.Errorf("%d rows are marked, not 4", n)
	}
}

// What cannot be drawn does not spoil the page.
func TestHTMLOfLittle(t *testing.T) {
	r := fixture()
	r.Sections = []bench.Section{
		{Title: "nothing", Plots: []bench.Plot{{X: bench.Median, Y: "recall@10"}}},
		{Title: "one", Results: []bench.Result{result("Flat", "", "10", 1, 1, 0)}, Plots: []bench.Plot{{X: bench.Median, Y: "recall@10"}}},
		{Title: "equal", Results: []bench.Result{result("Flat", "", "10", 1, 1, 5), result("Flat", "1", "10", 1, 1, 5)}, Plots: []bench.Plot{{X: bench.Median, Y: "recall@10", LogX: true}}},
	}
	var b bytes.Buffer
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("there is %s in the page", bad)
		}
	}
}

// A long table is cut to what nothing beats, and the best of each kind.
func TestTextOfMany(t *testing.T) {
	r := fixture()
	s := &r.Sections[0]
	s.Plots = append(s.Plots, bench.Plot{X: bench.Median, Y: bench.Quality, Where: "k=100", Front: true}, bench.Plot{X: bench.VectorBytes, Y: "recall@10"})
	for len(s.Results) < 30 {
		s.Results = append(s.Results, result("HNSW32", "9", "10", .2, .2, float64(5e6+len(s.Results))))
	}
	var b bytes.Buffer
	if err := Text(&b, r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "and 25 more, on no Pareto front: recall@10 against p50 ms, k 10; ndcg@10 against p50 ms, k 100\n") || strings.Count(b.String(), "HNSW32") != 1 {
		t.Errorf("%s", b.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is another one (make golden, if that is meant):\n%s", path, got)
	}
}

package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
)

// diffFixture is a difference with something in every field.
func diffFixture() *eval.DiffReport {
	row := func(metric string, before, d, low, high, p eval.Number, outcome string, shown bool) eval.MetricDiff {
		return eval.MetricDiff{Comparison: eval.Comparison{Metric: metric, A: "before", B: "after", Queries: 2955, Difference: d, Low: low, High: high, P: p, Wins: 102, Ties: 2700, Losses: 153, Outcome: outcome}, Before: before, After: before + d, Shown: shown}
	}
	return &eval.DiffReport{
		Format: eval.ReportFormat, A: "main", B: "branch|" + hostile,
		Unlike:  []string{"judgements: 0000000000000000, then 1111111111111111", "gains: esci: I 0, C 0.01, S 0.1, E 1, then own: I 0, C 1, S 2, E 3"},
		Changed: []string{"program: v1.4.0, then v1.5.0", "model of finetuned: aa, then bb"},
		Systems: []eval.SystemDiff{
			{Task: "full", System: "bm25", Queries: 2955, OnlyInA: 1, OnlyInB: 1203, Comparisons: []eval.MetricDiff{row("ndcg@10", .746, 0, -.001, .001, 1, eval.Tie, true), row("mrr@10", .8, 0, 0, 0, 1, eval.Tie, false)}},
			{Task: "full", System: "finetuned-with-a-name-that-goes-on", Queries: 2955, OnlyInA: 1, OnlyInB: 1203, Comparisons: []eval.MetricDiff{row("ndcg@10", .837, -.0312, -.0451, -.0172, .0004, eval.Worse, true), row("recall[E+S]@100", .9, .021, .002, .04, .032, eval.Better, true)}},
			{Task: "pool", System: "bm25", Queries: 1, ByID: 1, ByText: 3, Comparisons: []eval.MetricDiff{row("ndcg", .8, .1, nan, nan, nan, eval.Unclear, true)}},
		},
		Missing:   []string{"hybrid (full) is only in main"},
		Failed:    []string{"ndcg@10 drop > 2%: finetuned (full): nDCG@10 changed by -.031 (-3.7 % of .837) [-.045, -.017], p < .001", "ndcg@10 drop > 2%: hybrid (full) is not in branch"},
		Regressed: []string{"ndcg@10 drop > 2%: finetuned (full): nDCG@10 changed by -.031 (-3.7 % of .837) [-.045, -.017], p < .001"},
		Passed:    []string{"ndcg@10 drop > 2%: bm25 (full): nDCG@10 changed by .000 [-.001, +.001], p = 1.000"},
	}
}

func TestDiffGolden(t *testing.T) {
	empty := &eval.DiffReport{A: "a", B: "b"}
	for name, write := range map[string]func(io.Writer, *eval.DiffReport) error{"diff.txt": DiffText, "diff.md": DiffMarkdown} {
		var b, again strings.Builder
		if err := errors.Join(write(&b, diffFixture()), write(&again, diffFixture()), write(io.Discard, empty)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) || again.String() != b.String() {
			t.Errorf("%s has changed (go test -update ./eval/report, then look at the difference)", path)
		}
		if strings.ContainsAny(b.String(), "\x1b\u202e") || strings.Contains(b.String(), "<script") && name == "diff.md" {
			t.Errorf("%s shows what steers the reader's program", name)
		}
	}
}

func TestProse(t *testing.T) {
	for text, want := range map[string]string{
		"e5-2 beats bm25-.1 by .1 [-.02, +.3]":       "e5-2 beats bm25-.1 by .1 [−.02, +.3]",
		"-.013 [-.048, -1.2] (-3 %)":                 "−.013 [−.048, −1.2] (−3 %)",
		"fine-tuned - pretrained, k1 1-2 \x1b -name": "fine-tuned - pretrained, k1 1-2 ␛ -name",
	} {
		if got := prose(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	// Pages and Markdown have one sign; what tells the outcome is the text as it was.
	r := fixture()
	c := &r.Tasks[0].Comparisons[0]
	c.Verdict = "e5-2 loses: -.013 [-.048, +.023], p = .498."
	r.Verdicts = []string{"Full catalogue: " + c.Verdict}
	if v := verdicts(r); v[0].Outcome != c.Outcome {
		t.Errorf("outcome %q", v[0].Outcome)
	}
	for _, page := range []string{html(t, r), written(t, Markdown, r)} {
		if strings.Contains(page, "[-.0") || !strings.Contains(page, "e5-2 loses: −.013") {
			t.Error("a page has a hyphen for a minus sign")
		}
	}
}

// Where a note tells to look at condensed nDCG, the summary has it.
func TestCondensedInSummary(t *testing.T) {
	titles := func(r *eval.Report) (list []string) {
		for _, m := range textColumns(r, &r.Tasks[0]) {
			list = append(list, titleOf(m))
		}
		return list
	}
	r := fixture()
	if got := titles(r); slices.Contains(got, "condensed nDCG@10") {
		t.Errorf("without a note: %q", got)
	}
	r.Notes = append(r.Notes, "Full catalogue: only 62 % of the first ten hits are judged. Compare condensed nDCG and the bounds before believing a difference.")
	if got := titles(r); !slices.Equal(got[:3], []string{"nDCG@10", "condensed nDCG@10", "Recall[E+S]@100"}) {
		t.Errorf("%q", got)
	}
	if text := written(t, Text, r); !strings.Contains(text, "nDCG@10  condensed nDCG@10") {
		t.Error(text)
	}
	r.Tasks[0].Metrics = r.Tasks[0].Metrics[7:8] // it is all there is
	if got := titles(r); !slices.Equal(got, []string{"condensed nDCG@10"}) {
		t.Errorf("%q", got)
	}
}

// That everything was answered is only said where it is known and true.
func TestAnswered(t *testing.T) {
	const says = "Every system answered every query."
	for _, c := range []struct {
		missing, noHits []int
		want            bool
	}{
		{[]int{0}, []int{0}, true}, {[]int{1}, []int{0}, false}, {[]int{0}, []int{1}, false}, {[]int{0}, nil, false}, {nil, nil, false},
	} {
		r := minimal()
		r.Tasks[0].Missing, r.Tasks[0].NoHits = c.missing, c.noHits
		if page := html(t, r); strings.Contains(page, says) != c.want {
			t.Errorf("%v, %v: it is said %v", c.missing, c.noHits, !c.want)
		}
	}
	r := minimal()
	r.Tasks[0].NoHits = []int{1}
	if !strings.Contains(html(t, r), "only found nothing for 1 query.") || !strings.Contains(written(t, Text, r), "  ! queries answered with nothing: only 1\n") {
		t.Error("what was answered with nothing is not said")
	}
}

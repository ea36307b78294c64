package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// manyLabels are three queries judged on a scale of so many numbers, of whose first ten
// hits the first few are judged.
func manyLabels(labels, judged int) eval.Input {
	var values []float64
	for i := range labels {
		values = append(values, float64(i))
	}
	set := &judgments.Set{Scale: judgments.Numeric(values)}
	a, b := &eval.Run{System: "a", Hits: map[string][]eval.Hit{}}, &eval.Run{System: "b", Hits: map[string][]eval.Hit{}}
	for i := range 3 {
		q := judgments.Query{ID: fmt.Sprint("q", i), Text: fmt.Sprint("lamp ", i)}
		for j := range 10 {
			product := fmt.Sprint("p", j)
			if j < judged {
				q.Products, q.Levels = append(q.Products, product), append(q.Levels, int32(min(labels-1, j+i+1)))
				set.Count++
			}
			a.Hits[q.ID] = append(a.Hits[q.ID], eval.Hit{Product: product, Score: float64(20 - j)})
			b.Hits[q.ID] = append(b.Hits[q.ID], eval.Hit{Product: fmt.Sprint("p", 9-j), Score: float64(20 - j)})
		}
		set.Queries = append(set.Queries, q)
	}
	return eval.Input{Name: "labels", Qrels: set, Full: []*eval.Run{a, b}}
}

// TestNoBounds tells of bounds only where there are some: of many labels, too many
// labellings of the unjudged hits would have to be tried.
func TestNoBounds(t *testing.T) {
	for _, c := range []struct {
		labels  int
		note    string
		bounded bool
	}{
		{4, "Compare condensed nDCG and the bounds before believing a difference.", true},
		{20, "Compare condensed nDCG before believing a difference. There are no bounds: with 20 labels, the unjudged hits of each query could be labelled in more than 20000 ways.", false},
	} {
		r, _, err := eval.Evaluate(t.Context(), manyLabels(c.labels, 2), eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, c.note) || strings.Contains(notes, "the bounds before") != c.bounded {
			t.Errorf("%d labels: no %q in %s", c.labels, c.note, notes)
		}
		for _, x := range r.Tasks[0].Comparisons {
			if x.Queries == 0 && x.P.Exists() {
				t.Errorf("%d labels: %s has a p of %v over no queries", c.labels, x.Metric, x.P)
			}
		}
		var page bytes.Buffer
		if err := HTML(&page, r); err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(page.String(), `colspan="10">lowest nDCG@10`); has != c.bounded {
			t.Errorf("%d labels: comparisons by the lowest nDCG are shown: %v", c.labels, has)
		}
		if has := strings.Contains(page.String(), "whatever the unjudged are"); has != c.bounded {
			t.Errorf("%d labels: the bounds are drawn: %v", c.labels, has)
		}
		if !strings.Contains(page.String(), "more than 20\u202f000 ways") {
			t.Errorf("%d labels: the definition does not say why there may be no bounds", c.labels)
		}
	}
}

// TestNoOrder has no order by gains under which no query gains anything.
func TestNoOrder(t *testing.T) {
	in := manyLabels(4, 2)
	scale := in.Qrels.Scale
	metrics := []eval.Metric{}
	for _, text := range []string{"ndcg@10", "ndcg{none}@10"} {
		m, err := eval.ParseMetric(text)
		if err != nil {
			t.Fatal(err)
		}
		metrics = append(metrics, m)
	}
	r, _, err := eval.Evaluate(t.Context(), in, eval.Options{Metrics: metrics, Tables: append(scale.Tables()[:1:1], judgments.GainTable{Name: "none", Gains: make([]float64, 4)})})
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "same order") {
		t.Error("gains that no query has a metric by are said to have the same order")
	}
}

package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// TestNobodyJudged writes every kind of page and table of queries that nobody judged:
// what is said of judged queries must not be said of them.
func TestNobodyJudged(t *testing.T) {
	var queries []judgments.Query
	hits := map[string][]eval.Hit{}
	for _, text := range []string{"lamp", "usb cable", "red sofa"} {
		queries = append(queries, judgments.Query{ID: judgments.ID(text), Text: text})
		hits[judgments.ID(text)] = []eval.Hit{{Product: "a", Score: 2}, {Product: "b " + text, Score: 1}}
	}
	in := eval.Input{
		Name: "log", Qrels: &judgments.Set{Scale: judgments.ESCI(), Queries: queries},
		Full: []*eval.Run{
			{System: "one", Kind: "dense", Hits: hits},
			{System: "two", Hits: map[string][]eval.Hit{queries[0].ID: {{Product: "c", Score: 1}}, queries[1].ID: {}, queries[2].ID: hits[queries[2].ID]}},
		},
		Training: map[string]*eval.Training{"one": {Queries: []string{"lamp"}}},
	}
	r, _, err := eval.Evaluate(t.Context(), in, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Leakage != nil {
		t.Error("leakage is told of, where there are no results that it could flatter")
	}
	// The most different first: one found something where two found nothing, and
	// both the same for the sofa.
	if got := r.Queries[len(r.Queries)-1].Text; got != "red sofa" {
		t.Errorf("the last query is %s, which is not the one with the same ranking", got)
	}
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"HTML": func(b *bytes.Buffer) error { return HTML(b, r) }, "text": func(b *bytes.Buffer) error { return Text(b, r) },
		"Markdown": func(b *bytes.Buffer) error { return Markdown(b, r) }, "LaTeX": func(b *bytes.Buffer) error { return LaTeX(b, r) },
		"benchstat": func(b *bytes.Buffer) error { return Bench(b, r, nil) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "HTML" && name != "text" {
			continue
		}
		for _, want := range []string{"one and two share 33 % on average (RBO .33", "two found nothing for 1 of 3 queries"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, b.String())
			}
		}
		for _, never := range []string{"judged queries", "in training", "gains most on", `value="better"`, "worse · better", "Scores of judged", "relevant</span>", `href="#metrics"`, "<code></code>"} {
			if strings.Contains(b.String(), never) {
				t.Errorf("%s has %q", name, never)
			}
		}
	}
	var page bytes.Buffer
	if err := HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	if want := "the queries for which two and one differ most come first"; !strings.Contains(page.String(), want) {
		t.Errorf("no %q in the page", want)
	}
}

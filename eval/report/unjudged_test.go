package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// TestNobodyJudged writes every kind of page and table of queries that nobody judged.
func TestNobodyJudged(t *testing.T) {
	var queries []judgments.Query
	hits := map[string][]eval.Hit{}
	for _, text := range []string{"lamp", "usb cable", "red sofa"} {
		queries = append(queries, judgments.Query{ID: judgments.ID(text), Text: text})
		hits[judgments.ID(text)] = []eval.Hit{{Product: "a", Score: 2}, {Product: "b " + text, Score: 1}}
	}
	in := eval.Input{
		Name: "log", Qrels: &judgments.Set{Scale: judgments.ESCI(), Queries: queries},
		Full: []*eval.Run{{System: "one", Hits: hits}, {System: "two", Hits: map[string][]eval.Hit{queries[0].ID: {{Product: "c", Score: 1}}}}},
	}
	r, _, err := eval.Evaluate(t.Context(), in, eval.Options{})
	if err != nil {
		t.Fatal(err)
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
		if (name == "HTML" || name == "text") && !strings.Contains(b.String(), "one and two share 0") {
			t.Errorf("%s:\n%s", name, b.String())
		}
	}
}

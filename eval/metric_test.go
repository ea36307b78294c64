package eval

import (
	"strings"
	"testing"
)

// FuzzParseMetric: what is read reads back from its own text.
func FuzzParseMetric(f *testing.F) {
	for _, s := range []string{"ndcg@10", "NDCG", "recall[E+S]@100", "recall[>=2]@10", "rbp(0.8)", "rbp(.000000001)", "rbp(.123456789)", "RBP[E](0.95)@7",
		"ndcg{exact}@10", "ap@3", "ndcg@0", "ndcglow", "map{exp}", "K\u212a\u212a\u212a[E]@1", "\u0130\u0130[\u0130]", "p[[]]", "judged@007"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMetric(s)
		if err != nil {
			return
		}
		again, err := ParseMetric(m.String())
		if err != nil || again != m || again.String() != m.String() {
			t.Fatalf("%q is %q, which is %+v and not %+v (%v)", s, m, again, m, err)
		}
		if !strings.HasPrefix(m.Title(), kinds[m.Name].title) {
			t.Fatalf("title %q", m.Title())
		}
	})
}

func TestParseMetric(t *testing.T) {
	for s, want := range map[string]Metric{
		"ndcg@10":             {Name: "ndcg", K: 10},
		"nDCG":                {Name: "ndcg"},
		"recall[E+S]@100":     {Name: "recall", Relevant: "E+S", K: 100},
		"Precision[Exact]@5":  {Name: "precision", Relevant: "Exact", K: 5},
		"mrr[>=2]@10":         {Name: "mrr", Relevant: ">=2", K: 10},
		"AP@10":               {Name: "map", K: 10},
		"rbp":                 {Name: "rbp", Persistence: .8},
		"RBP(.5)":             {Name: "rbp", Persistence: .5},
		"ndcg{exact}@10":      {Name: "ndcg", Gains: "exact", K: 10},
		"judged@100":          {Name: "judged", K: 100},
		"rbp[E](0.25){x}@3":   {},
		"ndcg[E]@10":          {},
		"recall{exact}@10":    {},
		"ndcg(0.5)":           {},
		"ndcg@0":              {},
		"success":             {},
		"ndcglow":             {},
		"rbp(0)":              {},
		"rbp(1)":              {},
		"rbp(1.5)":            {},
		"rbp(0..5)":           {},
		"gain@10":             {},
		"ndcg @10":            {},
		"":                    {},
		"ndcg@10 ":            {},
		"recall[]@10":         {},
		"recall[E+S@10":       {},
		"recall]E[@10":        {},
		"\u212a\u212a\u212a[": {}, // shorter in lower case than before
	} {
		got, err := ParseMetric(s)
		if got != want || (err != nil) != (want == Metric{}) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, n := range Names() {
		m, err := ParseMetric(n + "@10")
		if err != nil || m.Neutral() != (n == "judged") {
			t.Errorf("%s: %v", n, err)
		}
	}
}

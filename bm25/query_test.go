package bm25

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
)

// hostile are queries that mean something to somebody, though not here.
var hostile = []string{
	"", " ", "\t\n\r", "\x00", "kit\x00chen", "\xff\xfe\xfd", "caf\xe9 towel", "\xed\xa0\x80", "a\u0300\u0301\u0302",
	`+towel -"kitchen" title:towel^5`, `towel~2 AND (kitchen OR *)`, `/.*/`, `_id:00000000`, `"unclosed`, `\`, `{"match_all":{}}`,
	"'; DROP TABLE products; --", "<script>alert(1)</script>", "%s%s%n", "../../etc/passwd",
	"\u202etowel\u202c", "\ufeffkitchen", "𝓴𝓲𝓽𝓬𝓱𝓮𝓷", "👩‍👩‍👧‍👦 towel", "ﷺ", strings.Repeat("a", 100_000), strings.Repeat("towel ", 200_000),
	strings.Repeat("\x00", 1<<20), strings.Repeat("\xff", 1<<20), strings.Repeat("é", 1<<19),
}

func TestHostileQueries(t *testing.T) {
	ix := buildIndex(t, makeProducts(100), Options{})
	for _, q := range hostile {
		checkQuery(t, ix, q)
	}
}

// checkQuery searches in all ways, none of which may fail, and compares them.
func checkQuery(t *testing.T, ix *Index, query string) {
	t.Helper()
	name := query[:min(len(query), 40)]
	ctx := context.Background()
	hits, err := ix.Search(ctx, query, nil, 10)
	if err != nil {
		t.Fatalf("query %q: %v", name, err)
	}
	for i, h := range hits {
		if !(h.Score > 0) || math.IsInf(h.Score, 0) || i > 0 && compareHits(hits[i-1], h) >= 0 {
			t.Errorf("query %q: hit %d of %v", name, i, hits)
		}
		var score [1]float64
		if err := ix.Scores(ctx, query, []uint32{h.Row}, score[:]); err != nil || score[0] != h.Score {
			t.Errorf("query %q: hit %v, but score %v, %v", name, h, score, err)
		}
		e, err := ix.Explain(ctx, query, h.Row)
		if err != nil || e.Value != h.Score {
			t.Errorf("query %q: hit %v, but explained %v, %v", name, h, e, err)
		}
	}
	own, err := ix.SearchBleve(ctx, BleveBM25, query, nil, 10)
	if err != nil || len(own) != len(hits) {
		t.Errorf("query %q: bleve finds %v, %v, want %d hits", name, own, err, len(hits))
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range append(hostile, queries...) {
		f.Add(q[:min(len(q), 1000)])
	}
	ix := buildIndex(f, makeProducts(100), Options{MaxTerms: 8})
	f.Fuzz(func(t *testing.T, query string) { checkQuery(t, ix, query) })
}

// TestHostileProducts checks that what is no text can be indexed and found.
func TestHostileProducts(t *testing.T) {
	var products []catalog.Product
	for _, q := range hostile {
		products = append(products, catalog.Product{Title: q, Bullets: []string{q, q}})
	}
	analyzers := []string{"en", "standard", "web", "cjk"}
	if testing.Short() {
		analyzers = analyzers[:1]
	}
	for _, analyzer := range analyzers {
		ix := buildIndex(t, products, Options{Analyzer: analyzer})
		for _, q := range hostile {
			checkQuery(t, ix, q)
		}
		hits, err := ix.Search(context.Background(), "caf", nil, 10)
		if err != nil || len(hits) != 1 || hostile[hits[0].Row] != "caf\xe9 towel" {
			t.Errorf("analyzer %s: a word before a stray byte finds %v, %v", analyzer, hits, err)
		}
	}
}

func TestParse(t *testing.T) {
	ix := buildIndex(t, makeProducts(10), Options{MaxTerms: 3})
	for _, test := range []struct{ query, want string }{
		{"", ""},
		{"the of and", ""},
		{"Kitchen TOWELS towel", "kitchen=1 towel=2"},
		{"women's shoes", "women=1 shoe=1"},
		{"one two three four five one two", "on=2 two=2 three=1"},
		{strings.Repeat("x", maxQuery-10) + " towel towel kitchen", strings.Repeat("x", maxQuery-10) + "=1 towel=1"},
	} {
		var got []string
		for _, term := range ix.parse(test.query) {
			got = append(got, string(term.text)+"="+string(rune('0'+term.count)))
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("query %.40q: terms %q, want %q", test.query, got, test.want)
		}
	}
}

// TestNothingToFind checks that finding nothing is no error.
func TestNothingToFind(t *testing.T) {
	ix := buildIndex(t, makeProducts(50), Options{})
	for _, q := range []string{"", "the of and", "!?", "nosuchword"} {
		hits, err := ix.Search(context.Background(), q, nil, 10)
		if err != nil || len(hits) > 0 {
			t.Errorf("query %q: %v, %v", q, hits, err)
		}
		scores := []float64{1, 2}
		if err := ix.Scores(context.Background(), q, []uint32{0, 49}, scores); err != nil || scores[0] != 0 || scores[1] != 0 {
			t.Errorf("query %q: %v, %v", q, scores, err)
		}
	}
	// A field that no product has.
	ix = buildIndex(t, []catalog.Product{{Title: "towel"}, {}}, Options{Fields: allFields()})
	hits, err := ix.Search(context.Background(), "towel", nil, 10)
	if err != nil || len(hits) != 1 {
		t.Errorf("%v, %v", hits, err)
	}
}

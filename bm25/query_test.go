package bm25

import (
	"context"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"

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

// TestOneForm checks that text is found however its letters were typed, by all analyzers
// and by bleve's own scoring too.
func TestOneForm(t *testing.T) {
	for _, c := range []struct {
		analyzer string
		alike    []string // titles, and queries
		other    string   // a title that is another word
	}{
		{"", []string{"café", "cafe\u0301", "CAFÉ", "ｃａｆé", "ｃａｆｅ\u0301"}, "cafe"},
		{"standard", []string{"wifi", "ｗｉｆｉ", "ＷｉＦｉ"}, "wlan"},
		{"es", []string{"niño", "nin\u0303o"}, "nido"},
		{"simple", []string{"Ångström", "A\u030angstro\u0308m", "Ångström"}, "angstrom"},
		{"web", []string{"crème", "cre\u0300me"}, "creme"},
		{"keyword", []string{"ガラス", "ｶﾞﾗｽ", "カ\u3099ラス"}, "カラス"},
		{"cjk", []string{"ガラス", "ｶﾞﾗｽ", "カ\u3099ラス"}, "ワイン"},
	} {
		var products []catalog.Product
		for _, title := range append(c.alike, c.other) {
			products = append(products, catalog.Product{Title: title})
		}
		ix := buildIndex(t, products, Options{Analyzer: c.analyzer, Fields: []Field{{Title, 1}}})
		for _, q := range c.alike {
			for name, search := range map[string]func() ([]Hit, error){
				"Okapi": func() ([]Hit, error) { return ix.Search(context.Background(), q, nil, 10) },
				"bleve": func() ([]Hit, error) {
					return ix.SearchBleve(context.Background(), BleveTFIDF, q, nil, 10)
				},
			} {
				hits, err := search()
				if err != nil || len(hits) != len(c.alike) {
					t.Errorf("analyzer %q, %s: query %+q finds %v, %v; the first %d rows expected", c.analyzer, name, q, hits, err, len(c.alike))
					continue
				}
				for i, h := range hits {
					if int(h.Row) != i || h.Score != hits[0].Score {
						t.Errorf("analyzer %q, %s: query %+q: hit %d is %v", c.analyzer, name, q, i, h)
					}
				}
			}
		}
	}
}

// TestFormsRankAlike builds indexes of the same products in several forms, and asks each
// in all of them: rows, scores and explanations are the same.
func TestFormsRankAlike(t *testing.T) {
	forms := map[string]func(string) string{
		"composed":   norm.NFC.String,
		"decomposed": norm.NFD.String,
		"full width": width.Widen.String,
		"half width": width.Narrow.String,
	}
	products := makeProducts(300)
	words := append(slices.Clone(queries), "café crème", "タオル カップ", "ñandú")
	ctx := context.Background()
	plain := buildIndex(t, products, Options{Fields: allFields()})
	for name, form := range forms {
		written := slices.Clone(products)
		for i := range written {
			p := &written[i]
			p.Title, p.Brand, p.Description = form(p.Title), form(p.Brand), form(p.Description)
			p.Bullets = slices.Clone(p.Bullets)
			for j := range p.Bullets {
				p.Bullets[j] = form(p.Bullets[j])
			}
		}
		ix := buildIndex(t, written, Options{Fields: allFields()})
		for _, q := range words {
			want, err := plain.Search(ctx, q, nil, 50)
			got, err2 := ix.Search(ctx, form(q), nil, 50)
			if err != nil || err2 != nil || !slices.Equal(got, want) {
				t.Fatalf("%s: query %q: %v, %v; %v, %v expected", name, q, got, err2, want, err)
			}
			if len(want) == 0 {
				continue
			}
			a, err := plain.Explain(ctx, form(q), want[0].Row)
			b, err2 := ix.Explain(ctx, q, want[0].Row)
			if err != nil || err2 != nil || !reflect.DeepEqual(a, b) {
				t.Fatalf("%s: query %q is explained otherwise: %v, %v", name, q, err, err2)
			}
		}
	}
}

func FuzzNormal(f *testing.F) {
	for _, q := range append(hostile, "ｶﾞ", "ｗｉｆｉ", "cafe\u0301", "ﾞ", "한", "ﾊﾟ") {
		f.Add(q[:min(len(q), 1000)])
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := normal(s)
		if normal(once) != once || !utf8.ValidString(once) {
			t.Errorf("%+q becomes %+q and that %+q", s, once, normal(once))
		}
		if utf8.ValidString(s) && normal(norm.NFD.String(s)) != normal(norm.NFC.String(s)) {
			t.Errorf("%+q: composed %+q, decomposed %+q", s, normal(norm.NFC.String(s)), normal(norm.NFD.String(s)))
		}
	})
}

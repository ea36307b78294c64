package bm25

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
)

// allFields indexes everything, with boosts that show if two are mixed up.
func allFields() []Field {
	return []Field{{Title, 2}, {Brand, 0.75}, {Bullets, 0.5}, {Description, 0.25}}
}

// iterate is an iterator over products that are in memory.
func iterate(products []catalog.Product) iter.Seq2[catalog.Product, error] {
	return func(yield func(catalog.Product, error) bool) {
		for _, p := range products {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// buildIndex builds an index in a temporary directory and opens it.
func buildIndex(t testing.TB, products []catalog.Product, o Options) *Index {
	t.Helper()
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(products), o, nil); err != nil {
		t.Fatal(err)
	}
	return openIndex(t, dir)
}

func openIndex(t testing.TB, dir string) *Index {
	t.Helper()
	ix, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
	})
	return ix
}

// reference is Okapi BM25 straight from the formula: it shares the analyzer
// with the index, and nothing else.
type reference struct {
	o      Options
	counts []map[string]map[int]float64 // by field and term: tf by row
	length [][]float64                  // by field and row
	n      int
}

func newReference(products []catalog.Product, o Options) *reference {
	o = o.WithDefaults()
	r := &reference{o: o, n: len(products)}
	analyzer := analyzerNamed(o.Analyzer)
	for _, f := range o.Fields {
		counts := map[string]map[int]float64{}
		lengths := make([]float64, len(products))
		for row, p := range products {
			text := map[string]string{Title: p.Title, Brand: p.Brand, Description: p.Description}[f.Name]
			if f.Name == Bullets {
				for _, b := range p.Bullets {
					text += b + "\n"
				}
			}
			for _, token := range analyzer.Analyze([]byte(text)) {
				if counts[string(token.Term)] == nil {
					counts[string(token.Term)] = map[int]float64{}
				}
				counts[string(token.Term)][row]++
				lengths[row]++
			}
		}
		r.counts = append(r.counts, counts)
		r.length = append(r.length, lengths)
	}
	return r
}

// scores returns the score of every row.
func (r *reference) scores(query string) []float64 {
	scores := make([]float64, r.n)
	n := float64(r.n)
	for f, field := range r.o.Fields {
		var sum float64
		for _, l := range r.length[f] {
			sum += l
		}
		average := sum / n
		for _, token := range analyzerNamed(r.o.Analyzer).Analyze([]byte(query)) {
			postings := r.counts[f][string(token.Term)]
			df := float64(len(postings))
			idf := math.Log(1 + (n-df+0.5)/(df+0.5))
			for row, tf := range postings {
				k1, b := r.o.K1, r.o.B
				scores[row] += field.Boost * idf * tf * (k1 + 1) / (tf + k1*(1-b+b*r.length[f][row]/average))
			}
		}
	}
	return scores
}

// top returns the k best rows with a score.
func (r *reference) top(query string, allow *bitset.BitSet, k int) []Hit {
	var hits []Hit
	for row, score := range r.scores(query) {
		if score > 0 && (allow == nil || allow.Test(uint(row))) {
			hits = append(hits, Hit{uint32(row), score})
		}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		if c := cmp.Compare(b.Score, a.Score); c != 0 {
			return c
		}
		return cmp.Compare(a.Row, b.Row)
	})
	return hits[:min(k, len(hits))]
}

// tolerance is how far a score may be from the reference's.
const tolerance = 1e-6

// sameHits compares rankings. Where the reference's scores are equal but for
// rounding, rows may stand in another order.
func sameHits(t *testing.T, query string, got, want []Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("query %q: %d hits, want %d", query, len(got), len(want))
		return
	}
	for i := range got {
		if math.Abs(got[i].Score-want[i].Score) > tolerance {
			t.Errorf("query %q: hit %d has score %v, want %v", query, i, got[i].Score, want[i].Score)
			return
		}
		if got[i].Row == want[i].Row {
			continue
		}
		tied := slices.ContainsFunc(want, func(h Hit) bool {
			return h.Row == got[i].Row && math.Abs(h.Score-want[i].Score) < 1e-9
		})
		atEnd := math.Abs(want[i].Score-want[len(want)-1].Score) < 1e-9
		if !tied && !atEnd {
			t.Errorf("query %q: hit %d is row %d, want %d", query, i, got[i].Row, want[i].Row)
			return
		}
	}
}

// vocabulary has words with stems, possessives, stop words, numbers, accents
// and other scripts.
var vocabulary = []string{
	"kitchen", "towels", "towel", "cotton", "the", "for", "and", "with", "women's", "men's", "running", "runner", "shoes",
	"shoe", "usb-c", "cable", "cables", "3.5mm", "10ft", "iphone", "case", "cases", "café", "crème", "布", "タオル", "ñandú",
	"black", "blue", "set", "of", "4", "pack", "100%", "waterproof", "wireless", "headphones", "noise", "cancelling", "gift",
	"gifts", "kids", "toy", "toys", "wooden", "steel", "stainless", "bottle", "bottles", "oz", "large", "xl", "é", "a",
}

// makeProducts returns n products of random words, some frequent and some
// rare, with empty and repeated fields among them.
func makeProducts(n int) []catalog.Product {
	r := rand.New(rand.NewPCG(1, 2))
	words := func(most int) string {
		var s []string
		for range r.IntN(most + 1) {
			f := r.Float64()
			s = append(s, vocabulary[int(f*f*float64(len(vocabulary)))])
		}
		return strings.Join(s, " ")
	}
	products := make([]catalog.Product, n)
	for i := range products {
		products[i] = catalog.Product{ID: fmt.Sprint("P", i), Title: words(12), Brand: words(2), Description: words(60)}
		for range r.IntN(4) {
			products[i].Bullets = append(products[i].Bullets, words(15))
		}
	}
	return products
}

// queries are about what makeProducts makes.
var queries = []string{
	"kitchen towels", "towel", "running shoes for women", "women's running shoe", "usb-c cable 10ft", "é", "布 タオル",
	"gift gift gifts toy", "a the of and", "wireless noise cancelling headphones case waterproof black", "nothing matches this",
	"stainless steel bottle 100% oz", "XL LARGE xl", "kitchen nosuchword", strings.Join(vocabulary, " "),
}

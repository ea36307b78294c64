package bm25

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
)

// zipfProducts yields n products whose words are as skewed as those of product
// titles are: one in four has the most frequent word, and most words are rare.
// The brand of a product is the first word of its title.
func zipfProducts(n int, seed uint64) iter.Seq2[catalog.Product, error] {
	return func(yield func(catalog.Product, error) bool) {
		r := rand.New(rand.NewPCG(seed, 0))
		words := zipfWords(r)
		for range n {
			title := words(4 + r.IntN(20))
			p := catalog.Product{Title: strings.Join(title, " "), Brand: title[0], Description: strings.Join(words(r.IntN(40)), " ")}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func sliceOf(products iter.Seq2[catalog.Product, error]) (s []catalog.Product) {
	for p := range products {
		s = append(s, p)
	}
	return s
}

// zipfWords returns what draws words.
func zipfWords(r *rand.Rand) func(n int) []string {
	zipf := rand.NewZipf(r, 1.1, 8, 200_000)
	return func(n int) []string {
		words := make([]string, n)
		for i := range words {
			words[i] = fmt.Sprint("w", zipf.Uint64())
		}
		return words
	}
}

// TestPrune compares rankings, to the last bit, with those of exhaustive search.
func TestPrune(t *testing.T) {
	products := sliceOf(zipfProducts(2*windowSize+1000, 1))
	one := Options{Fields: []Field{{Title, 1}}}
	three := Options{Fields: []Field{{Title, 1}, {Brand, 1}, {Description, 1}}}
	for name, ix := range map[string]*Index{
		"fields=1/segments=1": buildSegments(t, products, one, 1),
		"fields=3/segments=1": buildSegments(t, products, three, 1),
		"fields=3/segments=3": buildSegments(t, products, three, 3),
	} {
		for _, test := range []struct {
			name   string
			boosts [3]float64
			k1, b  float64
		}{
			{"default", [3]float64{1, 1, 0.1}, 1.2, 0.75},
			{"boosts", [3]float64{1, 3, 0.7}, 1.2, 0.75},
			{"tiny boost", [3]float64{1, 5e-324, 1e-300}, 1.2, 0.75},
			{"huge boost", [3]float64{1e38, 1e-38, 3e38}, 1.2, 0.75},
			{"k1=none", [3]float64{1, 1, 1}, None, 0.75},
			{"k1=100", [3]float64{1, 1, 1}, 100, 0.75},
			{"b=none", [3]float64{1, 1, 0.3}, 1.2, None},
			{"b=1", [3]float64{1, 1, 0.3}, 1.2, 1},
		} {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				// Postings do not depend on these.
				o := &ix.header.Options
				o.K1, o.B = test.k1, test.b
				for f := range o.Fields {
					o.Fields[f].Boost = test.boosts[f]
				}
				ix.cache = postingsCache{limit: postingsCacheSize}
				r := rand.New(rand.NewPCG(2, 3))
				queries := 4
				if testing.Short() { // the race detector makes it slow, and finds nothing here
					queries = 1
				}
				for range queries {
					samePruned(t, ix, randomQuery(r, products), r)
				}
			})
		}
	}
}

// randomQuery returns 1 to 30 words, many of which some product has together,
// and some repeated.
func randomQuery(r *rand.Rand, products []catalog.Product) string {
	n := 1 + r.IntN(30)
	words := zipfWords(r)(n)
	if r.IntN(2) == 0 {
		p := &products[r.IntN(len(products))]
		words = append(strings.Fields(p.Title+" "+p.Description), words...)[:n]
	}
	return strings.Join(words, " ")
}

// samePruned compares one query's rankings, with and without a filter.
func samePruned(t *testing.T, ix *Index, query string, r *rand.Rand) {
	t.Helper()
	ctx := context.Background()
	allow := bitset.New(uint(ix.Rows()))
	for share, row := []float64{0.9, 0.5, 0.01}[r.IntN(3)], uint(0); row < uint(ix.Rows()); row++ {
		if r.Float64() < share {
			allow.Set(row)
		}
	}
	for _, filter := range []*bitset.BitSet{nil, allow} {
		all, _, err := ix.searchExhaustive(ctx, query, filter, ix.Rows())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []int{1, 10, 100, 1000, ix.Rows() + 1} {
			got, err := ix.Search(ctx, query, filter, k)
			if err != nil {
				t.Fatal(err)
			}
			want := all[:min(k, len(all))]
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("query %q, filter %t, k=%d: %d hits, want %d; they differ from %d on", query, filter != nil, k, len(got), len(want), i)
				}
			}
		}
	}
}

// TestPruneWork checks that a search does much less than exhaustive search.
func TestPruneWork(t *testing.T) {
	products := sliceOf(zipfProducts(3*windowSize, 1))
	ix := buildIndex(t, products, Options{})
	r := rand.New(rand.NewPCG(2, 3))
	var pruned, exhaustive int
	for range 20 {
		query := strings.Join(strings.Fields(products[r.IntN(len(products))].Title)[:4], " ")
		_, n, err := ix.searchExhaustive(context.Background(), query, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		work, err := searchWork(context.Background(), ix, query, 10)
		if err != nil {
			t.Fatal(err)
		}
		pruned += work
		exhaustive += n
	}
	if pruned > exhaustive/2 {
		t.Errorf("%d postings scored, of %d", pruned, exhaustive)
	}
}

// TestPruneConcurrent has many goroutines ask for the same terms for the first
// time, and for so many that the cache lets go of some.
func TestPruneConcurrent(t *testing.T) {
	products := sliceOf(zipfProducts(windowSize, 1))
	ix := buildIndex(t, products, Options{})
	ix.cache.limit = 50_000
	type answer struct {
		query string
		hits  []Hit
	}
	r := rand.New(rand.NewPCG(2, 3))
	var answers []answer
	for range 20 {
		query := randomQuery(r, products)
		hits, _, err := ix.searchExhaustive(context.Background(), query, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer{query, hits})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				for _, a := range answers {
					hits, err := ix.Search(context.Background(), a.query, nil, 10)
					if err != nil || !slices.Equal(hits, a.hits) {
						t.Errorf("query %q: %v, %v, want %v", a.query, hits, err, a.hits)
					}
				}
			}
		})
	}
	wg.Wait()
	if ix.cache.old == nil || ix.cache.size > ix.cache.limit {
		t.Errorf("the cache takes %d bytes of %d, and has let go of nothing: %t", ix.cache.size, ix.cache.limit, ix.cache.old == nil)
	}
}

// FuzzPrune makes small catalogues, whose windows are segments, of few words,
// so that there are many ties.
func FuzzPrune(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed, uint8(seed), 1.2, 0.75, 0.1)
	}
	f.Fuzz(func(t *testing.T, seed uint64, words uint8, k1, b, boost float64) {
		o := Options{Fields: []Field{{Title, 1}, {Description, boost}, {Brand, 2}}, K1: k1, B: b}
		if o.Validate() != nil {
			t.Skip()
		}
		r := rand.New(rand.NewPCG(seed, 1))
		var products []catalog.Product
		for p := range zipfProducts(2+r.IntN(300), seed) {
			few := strings.Fields(p.Title)
			for i := range few {
				few[i] = fmt.Sprint("w", len(few[i])*r.IntN(1+int(words))/5)
			}
			p.Title = strings.Join(few, " ")
			products = append(products, p)
		}
		ix := buildSegments(t, products, o, 2+r.IntN(4))
		for range 5 {
			samePruned(t, ix, randomQuery(r, products), r)
		}
	})
}

// searchExhaustive is Search by scoring all documents that have any term of the
// query: what Search must find, to the last bit. It also returns how many
// postings were scored.
func (ix *Index) searchExhaustive(ctx context.Context, query string, allow *bitset.BitSet, k int) (hits []Hit, scored int, err error) {
	w, err := ix.openWindow(ctx, query)
	if err != nil {
		return nil, 0, err
	}
	for i := range w.cursors {
		scored += int(w.cursors[i].df)
	}
	best := top{k: min(k, ix.header.Rows)}
	for base := w.next(); base < noDocument; base = w.next() {
		if err := w.fill(ctx, base); err != nil {
			return nil, 0, err
		}
		w.collect(ix.table.rows, allow, &best)
	}
	return best.sorted(), scored, ix.closeWindow(w)
}

// next returns the first document that has a term of the query and was not
// scored yet, or noDocument.
func (w *window) next() uint32 {
	doc := uint32(noDocument)
	for i := range w.cursors {
		doc = min(doc, w.cursors[i].doc)
	}
	return doc
}

// collect offers the scored documents to best and empties the window.
func (w *window) collect(rows []uint32, allow *bitset.BitSet, best *top) {
	for i, word := range w.seen {
		for ; word != 0; word &= word - 1 {
			place := i*64 + bits.TrailingZeros64(word)
			score := w.scores[place]
			w.scores[place] = 0
			if score < best.least() {
				continue
			}
			row := rows[int(w.base)+place]
			if allow == nil || allow.Test(uint(row)) {
				best.offer(Hit{Row: row, Score: score})
			}
		}
		w.seen[i] = 0
	}
}

package bm25

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkSearch goes through queries of one to ten words over 20,000
// products with long texts, by this package's scores and by bleve's.
func BenchmarkSearch(b *testing.B) {
	ix := buildIndex(b, makeProducts(20_000), Options{})
	ctx := context.Background()
	texts := queries[:len(queries)-1]
	for _, k := range []int{10, 100} {
		b.Run(fmt.Sprintf("scorer=okapi/k=%d", k), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := ix.Search(ctx, texts[i%len(texts)], nil, k); err != nil {
					b.Fatal(err)
				}
			}
		})
		for _, model := range []Model{BleveBM25, BleveTFIDF} {
			b.Run(fmt.Sprintf("scorer=bleve-%s/k=%d", model, k), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := ix.SearchBleve(ctx, model, texts[i%len(texts)], nil, k); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPrune asks for words that are drawn as those of products are or, with
// terms=title, for whole titles, over 200,000 products: okapi has been asked for
// them before, okapi-first has not, and exhaustive scores all postings. The index
// is kept in the folder for temporary files.
func BenchmarkPrune(b *testing.B) {
	const rows = 200_000
	ix := keptIndex(b, rows)
	ctx := context.Background()
	for _, terms := range []string{"1", "2", "5", "10", "20", "title"} {
		r := rand.New(rand.NewPCG(5, 6))
		words := zipfWords(r)
		var texts []string
		if n, err := strconv.Atoi(terms); err == nil {
			for range 64 {
				texts = append(texts, strings.Join(words(n), " "))
			}
		} else {
			for p := range zipfProducts(64, 1) {
				texts = append(texts, p.Title)
			}
		}
		for _, k := range []int{10, 100} {
			for _, scorer := range []struct {
				name   string
				search func(text string) (scored int, err error)
			}{
				{"okapi", func(text string) (int, error) {
					return searchWork(ctx, ix, text, k)
				}},
				{"okapi-first", func(text string) (int, error) {
					ix.cache = postingsCache{limit: ix.cache.limit}
					return searchWork(ctx, ix, text, k)
				}},
				{"exhaustive", func(text string) (int, error) {
					_, scored, err := ix.searchExhaustive(ctx, text, nil, k)
					return scored, err
				}},
				{"bleve-bm25", func(text string) (int, error) {
					_, err := ix.SearchBleve(ctx, BleveBM25, text, nil, k)
					return 0, err
				}},
			} {
				b.Run(fmt.Sprintf("terms=%s/k=%d/scorer=%s", terms, k, scorer.name), func(b *testing.B) {
					for _, text := range texts {
						if _, err := scorer.search(text); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportAllocs()
					var total int
					for i := 0; b.Loop(); i++ {
						scored, err := scorer.search(texts[i%len(texts)])
						if err != nil {
							b.Fatal(err)
						}
						total += scored
					}
					if total > 0 {
						b.ReportMetric(float64(total)/float64(b.N), "postings/op")
					}
				})
			}
		}
	}
}

// searchWork searches, and returns how many postings were looked at.
func searchWork(ctx context.Context, ix *Index, text string, k int) (int, error) {
	s, err := ix.openSearcher(ctx, text, nil, k)
	if err != nil {
		return 0, err
	}
	defer ix.closeSearcher(s)
	_, err = s.run(ctx, ix)
	return s.work, err
}

// keptIndex returns an index of zipfProducts that is built only once.
func keptIndex(b *testing.B, rows int) *Index {
	b.Helper()
	o := Options{Fields: []Field{{Title, 1}, {Brand, 1}, {Description, 0.1}}}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("trirank-bm25-zipf-rows=%d-format=%d", rows, formatNumber))
	if _, err := os.Stat(dir); err != nil {
		// Beside it, lest another process takes what is half built.
		tmp, err := os.MkdirTemp(os.TempDir(), filepath.Base(dir)+"-")
		if err != nil {
			b.Fatal(err)
		}
		defer os.RemoveAll(tmp)
		if err := Build(context.Background(), tmp, zipfProducts(rows, 1), o, nil); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(tmp, dir); err != nil {
			b.Fatal(err)
		}
	}
	return openIndex(b, dir)
}

func BenchmarkScores(b *testing.B) {
	ix := buildIndex(b, makeProducts(20_000), Options{})
	for _, n := range []int{50, 20_000} {
		rows := make([]uint32, n)
		for i := range rows {
			rows[i] = uint32(i * (20_000 / n))
		}
		scores := make([]float64, n)
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := ix.Scores(context.Background(), queries[i%len(queries)], rows, scores); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScoresOfFew scores as many products as a page shows, among 200,000, by
// asking the lists about each and by walking all postings around them.
func BenchmarkScoresOfFew(b *testing.B) {
	const rows = 200_000
	ix := keptIndex(b, rows)
	ctx := context.Background()
	var texts []string
	for p := range zipfProducts(64, 1) {
		texts = append(texts, p.Title)
	}
	r := rand.New(rand.NewPCG(7, 8))
	few := make([]uint32, 10)
	for i := range few {
		few[i] = uint32(r.IntN(rows))
	}
	slices.SortFunc(few, func(a, c uint32) int { return int(ix.table.docs[a]) - int(ix.table.docs[c]) })
	order, scores := make([]int, len(few)), make([]float64, len(few))
	for i := range order {
		order[i] = i
	}
	for name, score := range map[string]func(text string) error{
		"asking":  func(text string) error { return ix.Scores(ctx, text, few, scores) },
		"walking": func(text string) error { return ix.sum(ctx, text, few, order, scores) },
	} {
		b.Run("by="+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := score(texts[i%len(texts)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	products := makeProducts(5_000)
	for b.Loop() {
		if err := Build(context.Background(), b.TempDir(), iterate(products), Options{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(products)*b.N)/b.Elapsed().Seconds(), "products/s")
}

package bm25

import (
	"context"
	"fmt"
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

func BenchmarkBuild(b *testing.B) {
	products := makeProducts(5_000)
	for b.Loop() {
		if err := Build(context.Background(), b.TempDir(), iterate(products), Options{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(products)*b.N)/b.Elapsed().Seconds(), "products/s")
}

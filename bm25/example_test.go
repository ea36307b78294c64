package bm25_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/catalog"
)

func Example() {
	dir, err := os.MkdirTemp("", "bm25-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	titles := []string{
		"Kitchen towels, set of 4",
		"Running shoes for women",
		"Striped kitchen towel",
	}
	products := func(yield func(catalog.Product, error) bool) {
		for _, title := range titles {
			if !yield(catalog.Product{Title: title}, nil) {
				return
			}
		}
	}

	ctx := context.Background()
	if err := bm25.Build(ctx, dir, products, bm25.Options{}, nil); err != nil {
		log.Fatal(err)
	}
	index, err := bm25.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer index.Close()

	hits, err := index.Search(ctx, "t towels kitchen", nil, 10)
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range hits {
		fmt.Printf("%.3f %s\n", h.Score, titles[h.Row])
	}
	// Output:
	// 0.980 Striped kitchen towel
	// 0.869 Kitchen towels, set of 4
}

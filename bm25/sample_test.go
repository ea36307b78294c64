package bm25

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
)

// TestSample compares with the formula on the catalogue's own sample, whose
// texts are less even than those of makeProducts.
func TestSample(t *testing.T) {
	products, texts := loadSample(t)
	odd := bitset.New(uint(len(products)))
	for row := uint(1); row < uint(len(products)); row += 2 {
		odd.Set(row)
	}
	for name, o := range map[string]Options{
		"title":      {Fields: []Field{{Title, 1}}},
		"all fields": {Fields: allFields(), BatchSize: 50},
	} {
		ref := newReference(products, o)
		for segments, ix := range map[string]*Index{"one": buildIndex(t, products, o), "several": buildSegments(t, products, o, 4)} {
			t.Run(name+"/segments="+segments, func(t *testing.T) {
				for _, q := range texts {
					for _, allow := range []*bitset.BitSet{nil, odd} {
						hits, err := ix.Search(context.Background(), q, allow, 100)
						if err != nil {
							t.Fatal(err)
						}
						sameHits(t, q, hits, ref.top(q, allow, 100))
					}
				}
			})
		}
	}
}

func loadSample(t *testing.T) (products []catalog.Product, texts []string) {
	t.Helper()
	f, err := os.Open("../catalog/sample/products.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for dec := json.NewDecoder(f); dec.More(); {
		var p catalog.Product
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		products = append(products, p)
	}
	q, err := os.Open("../catalog/sample/queries.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	records, err := csv.NewReader(q).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records[1:] {
		texts = append(texts, r[1])
	}
	if len(products) < 100 || len(texts) < 10 {
		t.Fatalf("%d products and %d queries, want more", len(products), len(texts))
	}
	return products, texts
}

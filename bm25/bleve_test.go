package bm25

import (
	"context"
	"math"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/mapping"
	"github.com/blevesearch/bleve/v2/search/query"
)

// TestBleve compares with what bleve answers when asked in its own way.
func TestBleve(t *testing.T) {
	products := makeProducts(300)
	for name, o := range map[string]Options{
		"title":      {Fields: []Field{{Title, 1}}},
		"all fields": {Fields: allFields()},
	} {
		for _, model := range []Model{BleveBM25, BleveTFIDF} {
			t.Run(name+"/"+string(model), func(t *testing.T) {
				ix := buildIndex(t, products, o)
				ix.bleve.Mapping().(*mapping.IndexMappingImpl).ScoringModel = string(model)
				for _, q := range queries[:len(queries)-1] { // the last has too many words
					request := bleve.NewSearchRequestOptions(ownQuery(ix, q), len(products), 0, false)
					request.SortBy([]string{"-_score", "_id"})
					result, err := ix.bleve.Search(request)
					if err != nil {
						t.Fatal(err)
					}
					got, err := ix.SearchBleve(context.Background(), model, q, nil, len(products))
					if err != nil {
						t.Fatal(err)
					}
					if len(got) != len(result.Hits) {
						t.Fatalf("query %q: %d hits, want %d", q, len(got), len(result.Hits))
					}
					for i, h := range result.Hits {
						if rowID(int(got[i].Row)) != h.ID || math.Abs(got[i].Score-h.Score) > 1e-12 {
							t.Fatalf("query %q: hit %d is %v, want %s %v", q, i, got[i], h.ID, h.Score)
						}
					}
				}
			})
		}
	}
}

func ownQuery(ix *Index, text string) query.Query {
	var matches []query.Query
	for _, f := range ix.Options().Fields {
		m := query.NewMatchQuery(text)
		m.SetField(f.Name)
		m.SetBoost(f.Boost)
		matches = append(matches, m)
	}
	if len(matches) == 1 {
		return matches[0]
	}
	return query.NewDisjunctionQuery(matches)
}

func TestBleveFilter(t *testing.T) {
	ix := buildIndex(t, makeProducts(100), Options{})
	allow := bitset.New(100)
	for row := uint(0); row < 100; row += 7 {
		allow.Set(row)
	}
	all, err := ix.SearchBleve(context.Background(), BleveBM25, "kitchen towels", nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	var want []Hit
	for _, h := range all {
		if allow.Test(uint(h.Row)) && len(want) < 5 {
			want = append(want, h)
		}
	}
	got, err := ix.SearchBleve(context.Background(), BleveBM25, "kitchen towels", allow, 5)
	if err != nil {
		t.Fatal(err)
	}
	sameHits(t, "kitchen towels", got, want)
}

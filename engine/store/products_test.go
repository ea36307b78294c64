package store_test

import (
	"testing"

	"github.com/trirank/trirank/engine"
)

// Products of one score are ordered by id.
func TestOrderOfTies(t *testing.T) {
	x := open(t, sample(t))
	ties := 0
	for _, q := range x.Engine.Info().Examples {
		resp, err := x.Engine.Compare(t.Context(), engine.Request{Query: q, K: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.Rankings {
			for i := range r.Hits[:max(len(r.Hits)-1, 0)] {
				if a, b := r.Hits[i], r.Hits[i+1]; a.Score < b.Score || a.Score == b.Score && a.ID >= b.ID {
					t.Errorf("%s by %s: %s with %v comes before %s with %v", q, r.System, a.ID, a.Score, b.ID, b.Score)
				} else if a.Score == b.Score {
					ties++
				}
			}
		}
	}
	if ties == 0 {
		t.Error("no two products have one score")
	}
}

package eval

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Hit is a product that a system returned.
type Hit struct {
	Product string
	Score   float64
}

// Run is what one system returned for each query, by query id. A query that is
// missing was not answered; one with no hits was answered with nothing.
type Run struct {
	System string
	Kind   string // "lexical", "dense", "fused", or empty if unknown
	Detail string // what the system is made of, for people
	Hits   map[string][]Hit
}

// Sort puts the hits of each query in order, score descending and equal scores by
// product id. A product listed twice and a score that is not a number are errors.
func (r *Run) Sort() error {
	for _, query := range slices.Sorted(maps.Keys(r.Hits)) { // the first fault is the same each time
		hits := r.Hits[query]
		slices.SortFunc(hits, func(a, b Hit) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Product, b.Product))
		})
		seen := make(map[string]bool, len(hits))
		for _, h := range hits {
			if math.IsNaN(h.Score) {
				return fmt.Errorf("cannot use run %s: query %.80q: the score of product %.80q is not a number", r.System, query, h.Product)
			}
			if seen[h.Product] {
				return fmt.Errorf("cannot use run %s: query %.80q lists product %.80q twice", r.System, query, h.Product)
			}
			seen[h.Product] = true
		}
	}
	return nil
}

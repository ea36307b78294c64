package bm25

import (
	"cmp"
	"math"
	"slices"
)

// top keeps the best k hits that it is offered: a heap with the worst of them
// at its root. Of equal scores the lower row is better, so that which of them
// are kept does not depend on the order in which bleve numbers documents.
type top struct {
	k    int
	heap []Hit
}

// compareHits puts better hits first.
func compareHits(a, b Hit) int {
	if c := cmp.Compare(b.Score, a.Score); c != 0 {
		return c
	}
	return cmp.Compare(a.Row, b.Row)
}

// least returns a score below which an offer is in vain.
func (t *top) least() float64 {
	if len(t.heap) < t.k {
		return math.Inf(-1)
	}
	return t.heap[0].Score
}

func (t *top) offer(h Hit) {
	if len(t.heap) < t.k {
		t.heap = append(t.heap, h)
		for i := len(t.heap) - 1; i > 0; {
			parent := (i - 1) / 2
			if compareHits(t.heap[i], t.heap[parent]) <= 0 {
				return
			}
			t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
			i = parent
		}
		return
	}
	if compareHits(h, t.heap[0]) >= 0 {
		return
	}
	t.heap[0] = h
	for i := 0; ; {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if compareHits(t.heap[child], t.heap[worst]) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		t.heap[i], t.heap[worst] = t.heap[worst], t.heap[i]
		i = worst
	}
}

// sorted returns the hits, best first, and ends the life of t.
func (t *top) sorted() []Hit {
	slices.SortFunc(t.heap, compareHits)
	return t.heap
}

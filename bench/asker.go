package bench

import (
	"fmt"
	"math"
	"strings"
)

// asker makes requests of real queries: each is one of them followed by a word of
// another, so that it was hardly asked before and its vector is in no cache. A share
// is asked as it is.
type asker struct {
	queries, words []string
	repeat         float64
}

func newAsker(queries []string, repeat float64) *asker {
	a := &asker{queries: queries, repeat: repeat}
	for _, q := range queries {
		a.words = append(a.words, strings.Fields(q)...)
	}
	return a
}

// query is the text of request number i.
func (a *asker) query(i int) string {
	at, n := i%len(a.queries), i/len(a.queries)
	// Evenly spread: a share of repeat of all numbers.
	if math.Floor(float64(i+1)*a.repeat) > math.Floor(float64(i)*a.repeat) || len(a.words) == 0 {
		return a.queries[at]
	}
	text := a.queries[at] + " " + a.words[(n+at)%len(a.words)]
	if n >= len(a.words) {
		text += fmt.Sprintf(" %d", n/len(a.words))
	}
	return text
}

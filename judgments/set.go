package judgments

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// NoLevel is the level of a product that nobody judged.
const NoLevel = -1

// Query is a judged query.
type Query struct {
	// ID is the first id that a source gave the query or, where none did, is made of
	// its text.
	ID      string
	Aliases []string // further ids of the same text, in order of appearance
	Text    string   // normalized; empty if the sources have ids only
	Split   string
	// Products are the judged products, in order of id, and Levels their levels
	// in the scale.
	Products []string
	Levels   []int32
	// Pooled are products that were looked at and not judged, in order of id.
	Pooled []string
}

// Level returns the level of a product, NoLevel if nobody judged it.
func (q *Query) Level(product string) int {
	if i, ok := slices.BinarySearch(q.Products, product); ok {
		return int(q.Levels[i])
	}
	return NoLevel
}

// Key is what the query is known by: its text, or its id where there is no text.
func (q *Query) Key() string {
	if q.Text != "" {
		return q.Text
	}
	return q.ID
}

// Set is the judgments of a set of queries.
type Set struct {
	Scale   Scale
	Queries []Query // in order of id
	Count   int     // judgments
}

// Label returns what q says of its i-th product.
func (s *Set) Label(q *Query, i int) Label { return s.Scale.Levels[q.Levels[i]].Label }

// Only returns the judgments of the queries that keep allows.
func (s *Set) Only(keep func(*Query) bool) *Set {
	out := &Set{Scale: s.Scale}
	for i := range s.Queries {
		if keep(&s.Queries[i]) {
			out.Queries = append(out.Queries, s.Queries[i])
			out.Count += len(s.Queries[i].Products)
		}
	}
	return out
}

// IDs returns the id of the query that each name means: the ids themselves, their
// aliases, the ids that are made of texts, and the texts.
func (s *Set) IDs() map[string]string {
	out := make(map[string]string, 3*len(s.Queries))
	for i := range s.Queries {
		out[s.Queries[i].Text] = s.Queries[i].ID
	}
	delete(out, "") // the text of queries that have ids only
	for i := range s.Queries {
		q := &s.Queries[i]
		if q.Text != "" {
			out[ID(q.Text)] = q.ID
		}
		for _, alias := range q.Aliases {
			out[alias] = q.ID
		}
	}
	for i := range s.Queries {
		out[s.Queries[i].ID] = s.Queries[i].ID
	}
	return out
}

// MadeUp reports whether some query has an id that is made of its text.
func (s *Set) MadeUp() bool {
	return slices.ContainsFunc(s.Queries, func(q Query) bool { return q.Text != "" && q.ID == ID(q.Text) })
}

// Hash is the SHA-256 of the judgments, in hexadecimal: of a line for each with
// what the query is known by, the product and the label, tabs between, in order.
// Ids of queries that have a text have no part in it.
func (s *Set) Hash() string {
	order := make([]int, len(s.Queries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(s.Queries[a].Key(), s.Queries[b].Key()) })
	h := sha256.New()
	for _, at := range order {
		q := &s.Queries[at]
		for i, p := range q.Products {
			fmt.Fprintf(h, "%s\t%s\t%s\n", q.Key(), p, s.Label(q, i))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

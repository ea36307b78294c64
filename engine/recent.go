package engine

import (
	"encoding/json"

	lru "github.com/hashicorp/golang-lru/v2"
)

// recent keeps the rankings of the last queries: shops are asked the same few
// queries over and over, and an engine's answer to one never changes.
type recent struct {
	rankings *lru.Cache[recentKey, []Scored]
	fusions  *lru.Cache[recentKey, fusedRanking]
}

type recentKey struct {
	query, filter string
	system        int    // in Config.Systems; 0 of a fusion
	fusion        string // "" of a system
	shown         int    // of a fusion's products
}

// fusedRanking is a ranking made of others.
type fusedRanking struct {
	shown []fused  // the first, with what makes up their scores
	rows  []uint32 // all, in order
}

// maxFilterKey bounds the filters that are kept, in bytes: a ranking of the longest
// query then takes less than 5 KB.
const maxFilterKey = 1000

// newRecent makes room for the given number of queries; it returns nil for none.
func newRecent(queries, systems int) *recent {
	if queries < 1 {
		return nil
	}
	rankings, err := lru.New[recentKey, []Scored](queries * systems)
	if err != nil {
		panic(err) // only for a size below 1
	}
	fusions, err := lru.New[recentKey, fusedRanking](queries)
	if err != nil {
		panic(err)
	}
	return &recent{rankings, fusions}
}

// of returns what concerns one request; nil if nothing is kept of it.
func (c *recent) of(r *Request) *recentQuery {
	if c == nil {
		return nil
	}
	q := &recentQuery{of: c, key: recentKey{query: r.Query}}
	if !r.Filter.IsZero() {
		text, err := json.Marshal(r.Filter)
		if err != nil || len(text) > maxFilterKey {
			return nil
		}
		q.key.filter = string(text)
	}
	return q
}

// recentQuery is what recent has of one query. A nil one has nothing and keeps
// nothing.
type recentQuery struct {
	of  *recent
	key recentKey // but for the system
}

// ranking returns the hits of a system, which nobody may change.
func (q *recentQuery) ranking(system int) (hits []Scored, ok bool) {
	if q == nil {
		return nil, false
	}
	return q.of.rankings.Get(q.keyOf(system))
}

func (q *recentQuery) addRanking(system int, hits []Scored) {
	if q != nil {
		q.of.rankings.Add(q.keyOf(system), hits)
	}
}

func (q *recentQuery) keyOf(system int) recentKey {
	key := q.key
	key.system = system
	return key
}

// fusion returns a fused ranking, which nobody may change.
func (q *recentQuery) fusion(f *Fusion, shown int) (r fusedRanking, ok bool) {
	if q == nil {
		return r, false
	}
	return q.of.fusions.Get(q.fusionKey(f, shown))
}

func (q *recentQuery) addFusion(f *Fusion, shown int, r fusedRanking) {
	if q != nil {
		q.of.fusions.Add(q.fusionKey(f, shown), r)
	}
}

func (q *recentQuery) fusionKey(f *Fusion, shown int) recentKey {
	key := q.key
	key.fusion, key.shown = f.String(), shown
	return key
}

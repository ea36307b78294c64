package stats

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/trirank/trirank/catalog"
)

// queryStats gathers what judgements say.
type queryStats struct {
	seed   maphash.Seed
	ids    map[string]int32
	words  [][]string // the distinct words of each query
	judged []judged   // sorted by product once all are read
	found  int        // products with a judgement
	shares [4]*Overlap
	sums   [4]float64
}

// judged is one judgement: 16 bytes.
type judged struct {
	product uint64 // hash of the id
	query   int32
	label   int8 // place in labels
}

var labels = [4]catalog.Label{catalog.Exact, catalog.Substitute, catalog.Complement, catalog.Irrelevant}

// readQueries reads the judgements and reports what they say by themselves.
func readQueries(ctx context.Context, c Catalog, o Options, r *Report) (*queryStats, error) {
	q := &queryStats{seed: maphash.MakeSeed(), ids: map[string]int32{}}
	for i, l := range labels {
		q.shares[i] = &Overlap{Label: l}
	}
	all := Labels{Split: "all"}
	splits := map[string]*Labels{}
	var perQuery []int
	lengths := newSketch(true)
	for j, err := range c.Judgments() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		id, ok := q.ids[j.QueryID]
		if !ok {
			id = int32(len(q.words))
			q.ids[j.QueryID] = id
			distinct := words(j.Query)
			slices.Sort(distinct)
			q.words = append(q.words, slices.Clip(slices.Compact(distinct)))
			perQuery = append(perQuery, 0)
			n, err := o.Count(j.Query)
			if err != nil {
				return nil, fmt.Errorf("cannot count the %s of query %q: %w", o.Unit, j.Query, err)
			}
			lengths.add(float64(n))
		}
		perQuery[id]++
		all.add(j.Label)
		split := j.Split
		if split == "" {
			split = "none"
		}
		if splits[split] == nil {
			splits[split] = &Labels{Split: split}
		}
		splits[split].add(j.Label)
		q.judged = append(q.judged, judged{maphash.String(q.seed, j.ProductID), id, int8(slices.Index(labels[:], j.Label))})
	}
	slices.SortFunc(q.judged, func(a, b judged) int {
		if a.product != b.product {
			if a.product < b.product {
				return -1
			}
			return 1
		}
		return int(a.query - b.query)
	})
	q.ids = nil
	r.Judgments, r.Queries = all.Total(), len(q.words)
	r.Labels = []Labels{all}
	var names []string
	for name := range splits {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 1 || len(names) == 1 && names[0] != "none" {
		for _, name := range names {
			r.Labels = append(r.Labels, *splits[name])
		}
	}
	counts := newSketch(true)
	for _, n := range perQuery {
		counts.add(float64(n))
	}
	r.JudgmentsPerQuery = counts.distribution(counts.linear())
	if d := lengths.distribution(lengths.linear()); d != nil {
		r.Lengths = append(r.Lengths, Length{"query", o.Unit, d})
	}
	return q, nil
}

// compare counts the words of queries in the title of a judged product.
func (q *queryStats) compare(p *catalog.Product) {
	key := maphash.String(q.seed, p.ID)
	i, ok := slices.BinarySearchFunc(q.judged, key, func(j judged, key uint64) int {
		if j.product < key {
			return -1
		}
		if j.product > key {
			return 1
		}
		return 0
	})
	if !ok {
		return
	}
	q.found++
	title := map[string]bool{}
	for _, w := range words(p.Title) {
		title[w] = true
	}
	for ; i < len(q.judged) && q.judged[i].product == key; i++ {
		j := q.judged[i]
		query := q.words[j.query]
		if len(query) == 0 {
			continue // signs only
		}
		n := 0
		for _, w := range query {
			if title[w] {
				n++
			}
		}
		o := q.shares[j.label]
		o.Count++
		o.Bins[10*n/len(query)]++
		q.sums[j.label] += float64(n) / float64(len(query))
	}
}

func (q *queryStats) report(r *Report) {
	r.Judged = q.found
	if len(q.judged) == 0 {
		return
	}
	for i, o := range q.shares {
		if o.Count > 0 {
			o.Mean = round(q.sums[i] / float64(o.Count))
		}
		r.QueryWordsInTitles = append(r.QueryWordsInTitles, *o)
	}
}

package stats

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/judgments"
)

// queryStats gathers what judgements say.
type queryStats struct {
	seed   maphash.Seed
	ids    map[string]int32
	words  [][]string // the distinct words of each query
	judged []judged   // sorted by product once all are read
	found  int        // products with a judgement
	// shares and sums are by label or band of labels, best first, and bands the place
	// there of each label.
	shares []*Overlap
	sums   []float64
	bands  []int
}

// judged is one judgement: 16 bytes.
type judged struct {
	product uint64 // hash of the id
	query   int32
	label   int32 // place among the labels, in order of appearance
}

// mostBands is how many labels, or bands of them, are told apart.
const mostBands = 8

// readQueries reads the judgements and reports what they say by themselves.
func readQueries(ctx context.Context, c Catalog, o Options, r *Report) (*queryStats, error) {
	q := &queryStats{seed: maphash.MakeSeed(), ids: map[string]int32{}}
	var labels []judgments.Label
	places := map[judgments.Label]int32{}
	splits := map[string]map[int32]int{} // of each label
	var perQuery []int
	lengths := newSketch(true)
	for j, err := range c.Judgments() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		id, ok := q.ids[j.Query]
		if !ok {
			id = int32(len(q.words))
			q.ids[j.Query] = id
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
		label, ok := places[j.Label]
		if !ok {
			label = int32(len(labels))
			places[j.Label], labels = label, append(labels, j.Label)
		}
		split := j.Split
		if split == "" {
			split = "none"
		}
		if splits[split] == nil {
			splits[split] = map[int32]int{}
		}
		splits[split][label]++
		q.judged = append(q.judged, judged{maphash.String(q.seed, j.Product), id, label})
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
	r.Judgments, r.Queries = len(q.judged), len(q.words)
	if err := q.label(labels, splits, r); err != nil {
		return nil, err
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

// label counts the judgements by label, best first, all and by split.
func (q *queryStats) label(labels []judgments.Label, splits map[string]map[int32]int, r *Report) error {
	r.Labels = []Labels{{Split: "all"}}
	if len(labels) == 0 {
		return nil
	}
	scale, spelled, err := judgments.ScaleOf(labels)
	if err != nil {
		return err
	}
	names, of := scale.Bands(mostBands)
	slices.Reverse(names)
	scaled := len(names)
	if slices.ContainsFunc(labels, judgments.Label.Pooled) {
		names = append(names, pooled)
	}
	q.bands = make([]int, len(labels))
	for i, l := range labels {
		if level, ok := scale.Level(spelled(l)); ok {
			q.bands[i] = scaled - 1 - of[level]
		} else {
			q.bands[i] = scaled
		}
	}
	q.sums = make([]float64, len(names))
	for _, name := range names {
		q.shares = append(q.shares, &Overlap{Label: name})
	}
	order := slices.Sorted(maps.Keys(splits))
	if len(order) == 1 && order[0] == "none" {
		order = nil
	}
	for _, split := range append([]string{"all"}, order...) {
		l := Labels{Split: split}
		for _, name := range names {
			l.Counts = append(l.Counts, LabelCount{Label: name})
		}
		for name, counts := range splits {
			if split != "all" && split != name {
				continue
			}
			for label, n := range counts {
				l.Counts[q.bands[label]].Count += n
			}
		}
		if split == "all" {
			r.Labels[0] = l
		} else {
			r.Labels = append(r.Labels, l)
		}
	}
	return nil
}

// pooled is what products are called that were looked at and not judged.
const pooled = "not judged"

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
		band := q.bands[j.label]
		o := q.shares[band]
		o.Count++
		o.Bins[10*n/len(query)]++
		q.sums[band] += float64(n) / float64(len(query))
	}
}

func (q *queryStats) report(r *Report) {
	r.Judged = q.found
	if len(q.judged) == 0 {
		return
	}
	for i, o := range q.shares {
		if o.Count == 0 {
			continue
		}
		o.Mean = round(q.sums[i] / float64(o.Count))
		r.QueryWordsInTitles = append(r.QueryWordsInTitles, *o)
	}
}

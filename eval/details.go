package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/trirank/trirank/judgments"
)

// movedK is how many first hits movements, popularity and overlaps look at: what
// a shopper sees.
const movedK = 10

// mostBands is how many rows tables by label have: scales with more labels are shown
// in bands.
const mostBands = 12

// movements counts what changed among the first hits: from the baseline to the
// candidate, and from the control to both.
func (e *evaluation) movements(context.Context) error {
	r := e.report
	if r.Baseline == "" || len(e.Full) == 0 {
		return nil
	}
	pairs := [][2]string{{r.Baseline, r.Candidate}}
	if r.Control != "" {
		for _, s := range []string{r.Baseline, r.Candidate} {
			if s != r.Control && r.Baseline != r.Control {
				pairs = append(pairs, [2]string{r.Control, s})
			}
		}
	}
	for _, p := range pairs {
		control := r.Control
		if control == p[0] || control == p[1] {
			control = ""
		}
		r.Movements = append(r.Movements, e.movement(p[0], p[1], control))
	}
	return nil
}

func (e *evaluation) run(system string) *Run {
	if i := slices.Index(e.systems, system); i >= 0 && len(e.Full) > 0 {
		return e.Full[i]
	}
	return nil
}

func (e *evaluation) movement(from, to, control string) Movement {
	m := Movement{From: from, To: to, Control: control, K: movedK}
	var bands []string
	var of []int
	if e.Qrels.Count > 0 {
		bands, of = e.Qrels.Scale.Bands(mostBands)
	}
	m.Rows = make([]MovementRow, len(bands)+1) // the last: unjudged
	for i := range bands {
		m.Rows[i].Label = bands[len(bands)-1-i]
	}
	m.Rows[len(bands)].Label = "unjudged"
	row := func(q *judgments.Query, product string) *MovementRow {
		if l := q.Level(product); l != judgments.NoLevel {
			return &m.Rows[len(bands)-1-of[l]]
		}
		return &m.Rows[len(bands)]
	}
	a, b, c := e.run(from), e.run(to), e.run(control)
	for i := range e.unseen.Queries {
		q := &e.unseen.Queries[i]
		before, after := ranks(a.Hits[q.ID]), ranks(b.Hits[q.ID])
		var third map[string]int
		if c != nil {
			third = ranks(c.Hits[q.ID])
		}
		for product, rank := range after {
			r := row(q, product)
			was, there := before[product]
			switch {
			case !there:
				r.Gained++
				if _, ok := third[product]; ok {
					r.GainedInControl++
				}
			case rank < was:
				r.Promoted++
			case rank > was:
				r.Demoted++
			default:
				r.Kept++
			}
		}
		for product := range before {
			if _, there := after[product]; there {
				continue
			}
			r := row(q, product)
			r.Lost++
			if _, ok := third[product]; ok {
				r.LostInControl++
			}
		}
	}
	return m
}

// ranks of the first hits, by product.
func ranks(hits []Hit) map[string]int {
	out := make(map[string]int, movedK)
	for i, h := range cut(hits, movedK) {
		out[h.Product] = i + 1
	}
	return out
}

// mean of the values that exist.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(x float64) {
	if !math.IsNaN(x) {
		m.sum += x
		m.n++
	}
}

func (m *mean) value() Number { return Number(m.sum / float64(m.n)) } // 0/0 is NaN

// mostSegments of one property are shown, the rest as one.
const mostSegments = 12

// segments parts the queries by their properties.
func (e *evaluation) segments(context.Context) error {
	t, _ := e.deciding()
	queries := e.unseen.Queries
	if t == nil {
		return nil
	}
	if slices.ContainsFunc(queries, func(q judgments.Query) bool { return q.Text == "" }) {
		return nil // there are ids only
	}
	type property struct {
		by     string
		values []string // in the order in which they are shown; nil: by number of queries
		of     func(q *judgments.Query) string
	}
	properties := []property{
		{"words in the query", []string{"1", "2", "3", "4", "5 or more"}, func(q *judgments.Query) string {
			n := max(1, len(strings.Fields(q.Text)))
			if n >= 5 {
				return "5 or more"
			}
			return fmt.Sprint(n)
		}},
		{"digits in the query", []string{"yes", "no"}, func(q *judgments.Query) string { return yes(strings.ContainsFunc(q.Text, unicode.IsDigit)) }},
	}
	if e.Product != nil {
		facts := e.facts()
		properties = append(properties,
			property{"a brand in the query", []string{"yes", "no"}, func(q *judgments.Query) string { return yes(facts[q.ID].brand) }},
			property{"popularity of what is relevant", []string{"head", "tail"}, func(q *judgments.Query) string { return facts[q.ID].popularity }},
			property{"department", nil, func(q *judgments.Query) string { return facts[q.ID].department }},
		)
	}
	b, c := slices.Index(e.systems, e.report.Baseline), slices.Index(e.systems, e.report.Candidate)
	for _, p := range properties {
		members := map[string][]int{}
		for i := range queries {
			if v := p.of(&queries[i]); v != "" && t.shared(i, 0) {
				members[v] = append(members[v], i)
			}
		}
		order := p.values
		if order == nil {
			for v := range members {
				order = append(order, v)
			}
			slices.SortFunc(order, func(x, y string) int {
				return cmp.Or(cmp.Compare(len(members[y]), len(members[x])), strings.Compare(x, y))
			})
			if len(order) > mostSegments {
				const rest = "all others"
				for _, v := range order[mostSegments-1:] {
					members[rest] = append(members[rest], members[v]...)
				}
				slices.Sort(members[rest])
				order = append(order[:mostSegments-1:mostSegments-1], rest)
			}
		}
		s := Segments{By: p.by}
		for _, v := range order {
			if len(members[v]) == 0 {
				continue
			}
			row := Segment{Value: v, Queries: len(members[v]), Difference: Number(math.NaN()), Low: Number(math.NaN()), High: Number(math.NaN())}
			for i := range e.systems {
				var m mean
				for _, q := range members[v] {
					m.add(t.at(q, i, 0))
				}
				row.Means = append(row.Means, m.value())
			}
			if b >= 0 {
				var d []float64
				for _, q := range members[v] {
					d = append(d, t.at(q, c, 0)-t.at(q, b, 0))
				}
				row.Difference, row.Low, row.High = meanInterval(d, e.options)
			}
			s.Rows = append(s.Rows, row)
		}
		if len(s.Rows) > 1 { // one segment is no division
			e.report.Segments = append(e.report.Segments, s)
		}
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// facts are what the catalogue tells of a query by way of its judged products.
type facts struct {
	brand      bool // the query names the brand of one of them
	popularity string
	department string
}

// facts finds the facts of all queries.
func (e *evaluation) facts() map[string]facts {
	relevant, _ := e.options.relevant(e.Qrels.Scale)
	out := make(map[string]facts, len(e.unseen.Queries))
	popular := map[string]float64{} // by query: mean log popularity of the relevant products
	for i := range e.unseen.Queries {
		q := &e.unseen.Queries[i]
		var f facts
		words := " " + strings.Join(wordsOf(q.Text), " ") + " "
		departments := map[string]int{}
		var logs mean
		for j, id := range q.Products {
			p, ok := e.Product(id)
			if !ok {
				continue
			}
			if b := wordsOf(p.Brand); len(b) > 0 && strings.Contains(words, " "+strings.Join(b, " ")+" ") {
				f.brand = true
			}
			if !relevant[q.Levels[j]] {
				continue
			}
			if len(p.Category) > 0 {
				departments[p.Category[0]]++
			}
			if p.Popularity > 0 {
				logs.add(math.Log10(1 + p.Popularity))
			}
		}
		for d, n := range departments {
			if n > departments[f.department] || n == departments[f.department] && d < f.department {
				f.department = d
			}
		}
		if v := float64(logs.value()); !math.IsNaN(v) {
			popular[q.ID] = v
		}
		out[q.ID] = f
	}
	sorted := make([]float64, 0, len(popular))
	for _, v := range popular {
		sorted = append(sorted, v)
	}
	slices.Sort(sorted)
	middle := quantile(sorted, .5)
	for id, v := range popular {
		f := out[id]
		f.popularity = "tail"
		if v >= middle {
			f.popularity = "head"
		}
		out[id] = f
	}
	return out
}

// wordsOf are the words of a text in lower case, without punctuation.
func wordsOf(s string) []string {
	return strings.FieldsFunc(judgments.Fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// popularity says whether the systems rank by popularity.
func (e *evaluation) popularity(context.Context) error {
	if e.Product == nil || len(e.Full) == 0 {
		return nil
	}
	of := map[string]float64{}
	popularity := func(id string) float64 {
		v, ok := of[id]
		if !ok {
			p, _ := e.Product(id)
			v = p.Popularity
			of[id] = v
		}
		return v
	}
	var judged []float64
	for i := range e.unseen.Queries {
		for _, id := range e.unseen.Queries[i].Products {
			if v := popularity(id); v > 0 {
				judged = append(judged, v)
			}
		}
	}
	if len(judged) < 2 {
		return nil
	}
	slices.Sort(judged)
	out := &Popularity{K: movedK, Head: quantile(judged, .5), Metric: e.options.Metrics[0].String()}
	head := func(id string) bool { return popularity(id) >= out.Head }
	for _, run := range e.Full {
		var rho, logs mean
		for i := range e.unseen.Queries {
			hits := cut(run.Hits[e.unseen.Queries[i].ID], 100)
			values := make([]float64, len(hits))
			for j, h := range hits {
				values[j] = popularity(h.Product)
				if j < movedK {
					logs.add(math.Log10(1 + values[j]))
				}
			}
			rho.add(spearmanWithRank(values))
		}
		out.Systems = append(out.Systems, PopularitySystem{Rho: rho.value(), MeanLog: logs.value(),
			Head: e.only(run, head), Tail: e.only(run, func(id string) bool { return !head(id) })})
	}
	e.report.Popularity = out
	return nil
}

// only is the deciding metric of the full catalogue where only the products that
// count may be relevant: the others are judged irrelevant.
func (e *evaluation) only(run *Run, counts func(id string) bool) Number {
	c, err := NewCalculator(e.Qrels.Scale, e.options.Metrics[:1], e.options.Tables, e.options.Relevant)
	if err != nil {
		return Number(math.NaN())
	}
	var m mean
	dst := make([]float64, 1)
	for _, q := range e.unseen.Queries {
		q.Levels = slices.Clone(q.Levels)
		for i, id := range q.Products {
			if !counts(id) {
				q.Levels[i] = 0
			}
		}
		c.Query(&q, run.Hits[q.ID], dst)
		m.add(dst[0])
	}
	return m.value()
}

// spearmanWithRank is the rank correlation of values with being first: 1 if they
// fall from the first to the last. Equal values share the mean of their ranks.
func spearmanWithRank(values []float64) float64 {
	n := len(values)
	if n < 3 {
		return math.NaN()
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	rank := make([]float64, n)
	for i := 0; i < n; {
		j := i
		for j < n && values[order[j]] == values[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			rank[order[k]] = float64(i+j-1) / 2
		}
		i = j
	}
	middle := float64(n-1) / 2
	var xy, xx, yy float64
	for i, r := range rank {
		x, y := float64(i)-middle, r-middle
		xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
	}
	return xy / math.Sqrt(xx*yy) // no popularity differs: 0/0
}

// leakage says what was seen in training, and measures it apart.
func (e *evaluation) leakage(context.Context) error {
	if e.unmeasured != "" { // no result could be flattered by what was seen
		return nil
	}
	if len(e.Training) == 0 && !slices.ContainsFunc(e.report.Systems, func(s SystemInfo) bool { return s.Kind == "dense" }) {
		return nil
	}
	out := &Leakage{}
	for _, s := range e.report.Systems {
		if s.Kind != "dense" && e.Training[s.Name] == nil {
			continue
		}
		l := LeakageSystem{System: s.Name, SeenProducts: Number(math.NaN()), UnseenProducts: Number(math.NaN())}
		if t := e.Training[s.Name]; t != nil {
			l.Recorded = true
			queries, products := map[string]bool{}, map[string]bool{}
			for _, q := range t.Queries {
				queries[judgments.Fold(q)] = true
			}
			for _, id := range t.Products {
				products[id] = true
			}
			for _, q := range e.Qrels.Queries {
				if queries[judgments.Fold(q.Text)] {
					l.Queries++
				}
			}
			counted := map[string]bool{}
			for _, q := range e.unseen.Queries {
				for _, id := range q.Products {
					if products[id] && !counted[id] {
						counted[id] = true
						l.Products++
					}
				}
			}
			if run := e.run(s.Name); run != nil && l.Products > 0 {
				l.SeenProducts = e.only(run, func(id string) bool { return products[id] })
				l.UnseenProducts = e.only(run, func(id string) bool { return !products[id] })
			}
			if n := len(e.Qrels.Only(func(q *judgments.Query) bool { return q.Text == "" }).Queries); n > 0 && len(t.Queries) > 0 {
				e.report.Notes = append(e.report.Notes, fmt.Sprintf("%d of the %d judged queries have no text, so that nobody can tell whether %s saw them in training.", n, len(e.Qrels.Queries), s.Name))
			}
			if l.Queries > 0 {
				e.report.Notes = append(e.report.Notes, fmt.Sprintf("%s saw %d of the %d judged queries in training. They are left out of all results and scored apart.", s.Name, l.Queries, len(e.Qrels.Queries)))
			}
		}
		out.Systems = append(out.Systems, l)
	}
	if len(e.seen.Queries) > 0 {
		name, runs, metrics := FullTask, e.Full, e.options.Metrics
		if len(runs) == 0 {
			name, runs, metrics = PoolTask, e.Pool, e.options.PoolMetrics
		}
		task, _, err := e.task(name, e.seen, runs, metrics)
		if err != nil {
			return err
		}
		task.Title = "Queries seen in training. " + task.Title
		out.Seen = task
	}
	e.report.Leakage = out
	return nil
}

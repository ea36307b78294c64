package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// ranked makes hits of products, best first.
func ranked(products ...string) (out []Hit) {
	for i, p := range products {
		out = append(out, Hit{Product: p, Score: float64(len(products) - i)})
	}
	return out
}

func metricsOf(t testing.TB, names ...string) (out []Metric) {
	t.Helper()
	for _, n := range names {
		m, err := ParseMetric(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// relevantOf is the default of a scale.
func relevantOf(s judgments.Scale) string {
	o, err := Options{}.WithDefaults(s)
	if err != nil {
		panic(err)
	}
	return o.Relevant
}

func calculatorOf(t testing.TB, s judgments.Scale, names ...string) *Calculator {
	t.Helper()
	c, err := NewCalculator(s, metricsOf(t, names...), s.Tables(), relevantOf(s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// measured computes metrics of one list by name.
func measured(t testing.TB, s judgments.Scale, q *judgments.Query, hits []Hit, names ...string) []float64 {
	t.Helper()
	out := make([]float64, len(names))
	calculatorOf(t, s, names...).Query(q, hits, out)
	return out
}

// Discounts of the first five ranks, 1/log2(rank+1).
const (
	d1 = 1.
	d2 = .6309297535714574
	d3 = .5
	d4 = .43067655807339306
	d5 = .38685280723454163
)

// TestMetricsByHand: the query has five judged products, of which two (a, e) are
// exact; the list puts the substitute b first, then x that nobody judged.
func TestMetricsByHand(t *testing.T) {
	q := qrelsOf(t, judgmentsOf("q a E", "q b S", "q c C", "q d I", "q e E"))
	list := ranked("b", "x", "a", "d", "e")
	ideal3 := d1 + d2 + .1*d3 // E E S
	for _, c := range []struct {
		metric string
		want   float64
	}{
		{"dcg@3", .1*d1 + 1*d3},           // S, unjudged, E
		{"ndcg@3", (.1*d1 + d3) / ideal3}, // the ideal is over all judged products, not the returned
		{"dcg", .1*d1 + d3 + d5},
		{"ndcg", (.1*d1 + d3 + d5) / (ideal3 + .01*d4)},
		{"ndcg@1", .1},
		{"ndcg@100", (.1*d1 + d3 + d5) / (ideal3 + .01*d4)},
		{"ndcg{exact}@3", d3 / (d1 + d2)},
		{"ndcg{swapped}@3", (.01*d1 + d3) / (d1 + d2 + .1*d3)}, // S is .01, C .1
		{"ndcg{exp}@3", (3*d1 + 7*d3) / (7*d1 + 7*d2 + 3*d3)},  // 2^2-1, 2^3-1
		{"cndcg@3", (.1*d1 + 1*d2 + 0*d3) / ideal3},            // b a d: x is skipped
		{"ndcglow@3", (.1*d1 + d3) / ideal3},                   // x is I: nothing changes
		{"ndcghigh@3", (.1*d1 + 1*d2 + d3) / (d1 + d2 + d3)},   // x is E: one more in the ideal
		{"recall@3", 1. / 2}, {"recall", 1}, {"recall@2", 0},   // a, of a and e
		{"recall[E+S]@3", 2. / 3}, {"recall[>=1]@5", 3. / 4}, // a b of a b e; a b e of a b c e
		{"precision@3", 1. / 3}, {"precision@10", 2. / 10}, // of k, though five were returned
		{"precision", 2. / 5}, {"precision[E+S]@1", 1}, //
		{"mrr@10", 1. / 3}, {"mrr@2", 0}, {"mrr[S]@1", 1}, // a is third
		{"map", (1./3 + 2./5) / 2}, {"map@3", (1. / 3) / 2}, // a third, e fifth; e missing counts as 0
		{"success@2", 0}, {"success@3", 1}, //
		{"bpref", (1 - 1./2 + 1 - 2./2) / 2},                          // one wrong before a, two before e, out of min(2, 3)
		{"bpref@3", (1 - 1./2) / 2},                                   //
		{"rbp", .2 * (.8*.8 + .8*.8*.8*.8)}, {"rbp(0.5)@3", .5 * .25}, // ranks 3 and 5
		{"err@3", 3./8 + 5./8*7/8/3},                // S satisfies 3 in 8, E 7 in 8
		{"err", 3./8 + 5./8*7/8/3 + 5./8*1/8*7/8/5}, //
		{"judged@3", 2. / 3}, {"judged@10", 4. / 5}, //
	} {
		if got := measured(t, q.Scale, &q.Queries[0], list, c.metric)[0]; !near(got, c.want) {
			t.Errorf("%s is %.6f, want %.6f", c.metric, got, c.want)
		}
	}
}

// Discounts go on beyond those that are kept ready.
func TestDiscounts(t *testing.T) {
	for _, i := range []int{0, 1, len(discounts) - 1, len(discounts), 100_000} {
		if got, want := discount(i), math.Ln2/math.Log(float64(i)+2); !near(got, want) {
			t.Errorf("rank %d: %g, want %g", i+1, got, want)
		}
	}
}

// allNames are all metrics with and without depth.
func allNames() (names []string) {
	for _, n := range Names() {
		if !kinds[n].needsK {
			names = append(names, n)
		}
		for _, k := range []int{1, 2, 3, 5, 10} {
			names = append(names, fmt.Sprintf("%s@%d", n, k))
		}
	}
	return append(names, "recall[E+S]@3", "map[E+S]", "rbp(0.3)@4", "ndcg{exact}@3", "ndcg{swapped}@5", "ndcg{exp}@5")
}

// A query without hits gets 0 where something was to be found: an empty answer is a
// bad answer. What cannot be said is NaN.
func TestMetricsThatDoNotExist(t *testing.T) {
	names := allNames()
	for _, c := range []struct {
		name   string
		query  []judgments.Judgment
		list   []Hit
		exists func(m Metric) bool
	}{
		{"all judged irrelevant", judgmentsOf("q a I", "q b I"), ranked("a", "x"), func(m Metric) bool { return m.Name == "dcg" || m.Name == "judged" }},
		{"a substitute only", judgmentsOf("q a S", "q b I"), ranked("a", "x"), func(m Metric) bool {
			// No exact product: nothing for metrics of found and not found, but
			// there are gains.
			return !kinds[m.Name].binary && m.Gains != "exact" || m.Relevant == "E+S"
		}},
		{"nothing returned", judgmentsOf("q a E", "q b I"), nil, func(m Metric) bool { return m.Name != "judged" }},
		{"all there", judgmentsOf("q a E", "q b I"), ranked("a", "x"), func(Metric) bool { return true }},
	} {
		q := qrelsOf(t, c.query)
		for i, v := range measured(t, q.Scale, &q.Queries[0], c.list, names...) {
			m, _ := ParseMetric(names[i])
			if math.IsNaN(v) == c.exists(m) || len(c.list) == 0 && v != 0 && !math.IsNaN(v) {
				t.Errorf("%s: %s is %g", c.name, names[i], v)
			}
		}
	}
	// A query value that nobody built with NewQrels must not end the program.
	for i, v := range measured(t, judgments.ESCI(), &judgments.Query{ID: "q"}, ranked("a"), names...) {
		if m, _ := ParseMetric(names[i]); !math.IsNaN(v) && v != 0 {
			t.Errorf("no judgements: %v is %g", m, v)
		}
	}
}

// TestJudged: the share is of the hits that were returned, not of k. A system that
// returns three hits, all judged, has shown nothing unjudged; to divide by ten would
// say of it that most of what it shows is unknown.
func TestJudged(t *testing.T) {
	q := qrelsOf(t, judgmentsOf("q a E", "q b S", "q c I"))
	for _, c := range []struct {
		list []Hit
		want float64
	}{
		{ranked("a", "c", "b"), 1},
		{ranked("a", "x"), .5},
		{ranked("x", "y"), 0},
		{ranked("x", "a", "b", "c", "1", "2", "3", "4", "5", "6", "7"), .3}, // the eleventh does not count
		{nil, math.NaN()},
	} {
		if got := measured(t, q.Scale, &q.Queries[0], c.list, "judged@10")[0]; !near(got, c.want) {
			t.Errorf("%v: %g, want %g", c.list, got, c.want)
		}
	}
}

// randomCase is a query of judged products and a list of them and of others.
func randomCase(r *rand.Rand) (js []judgments.Judgment, list []string) {
	labels := []string{"E", "S", "C", "I"}
	for p := range 1 + r.IntN(9) {
		js = append(js, judgments.Judgment{QueryID: "q", Product: fmt.Sprint("p", p), Label: judgments.Label(labels[r.IntN(4)])})
	}
	for p := range 12 {
		if r.IntN(3) > 0 {
			list = append(list, fmt.Sprint("p", p))
		}
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return js, list
}

func TestMetricsLieBetweenZeroAndOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	names := slices.DeleteFunc(allNames(), func(n string) bool { return n[:3] == "dcg" })
	c := calculatorOf(t, judgments.ESCI(), names...)
	got := make([]float64, len(names))
	for range 3000 {
		js, list := randomCase(r)
		q := qrelsOf(t, js)
		c.Query(&q.Queries[0], ranked(list...), got)
		for i, v := range got {
			if v < 0 || v > 1 {
				t.Fatalf("%s is %g: %v, %v", names[i], v, js, list)
			}
		}
	}
}

func TestIdealOrderHasAnNDCGOfOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"ndcg", "ndcg@1", "ndcg@3", "ndcg@10", "cndcg@3", "cndcg", "ndcg{exp}@3", "ndcg{exact}@3", "ndcg{swapped}"}
	for range 500 {
		js, _ := randomCase(r)
		q := qrelsOf(t, js)
		for i, v := range measuredIdeal(t, q, names) {
			if !math.IsNaN(v) && v != 1 { // exactly: both are the same sum
				t.Fatalf("%s of the ideal order is %g: %v", names[i], v, js)
			}
		}
	}
}

// measuredIdeal measures the ideal order, which depends on the gains.
func measuredIdeal(t *testing.T, q *judgments.Set, names []string) (out []float64) {
	for _, n := range names {
		m, _ := ParseMetric(n)
		table := q.Scale.Tables()[0]
		for _, g := range q.Scale.Tables() {
			if g.Name == m.Gains {
				table = g
			}
		}
		query := &q.Queries[0]
		list := slices.Clone(query.Products)
		slices.SortStableFunc(list, func(a, b string) int {
			if x, y := table.Gains[query.Level(a)], table.Gains[query.Level(b)]; x > y {
				return -1
			} else if x < y {
				return 1
			}
			return 0
		})
		out = append(out, measured(t, q.Scale, query, ranked(list...), n)...)
	}
	return out
}

// TestBetterProductsFirstNeverHurt swaps two hits so that the better comes first.
func TestBetterProductsFirstNeverHurt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	names := []string{"ndcg", "ndcg@3", "ndcg@5", "dcg@5", "err", "err@3", "rbp", "rbp@4", "map", "map@3", "mrr", "mrr@3", "recall@3", "precision@3", "success@3", "ndcg{exp}@5"}
	c := calculatorOf(t, judgments.ESCI(), names...)
	before, after := make([]float64, len(names)), make([]float64, len(names))
	raised := make([]int, len(names))
	for range 3000 {
		js, list := randomCase(r)
		if len(list) < 2 {
			continue
		}
		q := &qrelsOf(t, js).Queries[0]
		i, j := r.IntN(len(list)), r.IntN(len(list))
		if i > j {
			i, j = j, i
		}
		if max(0, q.Level(list[j])) <= max(0, q.Level(list[i])) { // unjudged counts as I
			continue
		}
		c.Query(q, ranked(list...), before)
		list[i], list[j] = list[j], list[i]
		c.Query(q, ranked(list...), after)
		for m := range names {
			if after[m] < before[m]-1e-12 {
				t.Fatalf("%s falls from %g to %g: %v, %v with %d and %d swapped", names[m], before[m], after[m], js, list, i, j)
			}
			if after[m] > before[m]+1e-12 {
				raised[m]++
			}
		}
	}
	for m, n := range raised {
		if n == 0 {
			t.Errorf("%s never rises", names[m])
		}
	}
}

func TestMetricsSeeNothingElse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	names := allNames()
	for range 300 {
		js, list := randomCase(r)
		q := qrelsOf(t, js)
		want := measured(t, q.Scale, &q.Queries[0], ranked(list...), names...)
		// not the order in which judgements were given
		r.Shuffle(len(js), func(i, j int) { js[i], js[j] = js[j], js[i] })
		shuffled := qrelsOf(t, js)
		// not the scores, but for their order
		hits := ranked(list...)
		for i := range hits {
			hits[i].Score = math.Exp(hits[i].Score) - 1e3
		}
		if got := measured(t, q.Scale, &shuffled.Queries[0], hits, names...); !slices.EqualFunc(got, want, same) {
			t.Fatalf("%v, then %v", want, got)
		}
		// nor, for a metric with a depth, unjudged hits beyond it; a condensed one
		// takes no notice of them at any rank.
		for len(list) < 10 {
			list = append(list, fmt.Sprint("filler", len(list)))
		}
		want = measured(t, q.Scale, &q.Queries[0], ranked(list...), names...)
		got := measured(t, q.Scale, &q.Queries[0], ranked(append(list, "u1", "u2", "u3")...), names...)
		for i, n := range names {
			if m, _ := ParseMetric(n); (m.K > 0 || m.Name != "precision") && !same(got[i], want[i]) {
				t.Fatalf("%s is %g, with an unjudged tail %g", n, want[i], got[i])
			}
		}
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// TestBoundsAgainstAllLabellings gives the unjudged hits all labels there are: the
// least and the greatest nDCG must be the bounds.
func TestBoundsAgainstAllLabellings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	scale := judgments.ESCI()
	tables := append(scale.Tables(), judgments.GainTable{Name: "odd", Gains: []float64{.3, 0, 2, .3}}) // the worst label has a gain, two are equal
	for _, table := range tables {
		for _, k := range []int{1, 2, 4, 6} {
			metrics := []Metric{{Name: "ndcg", K: k}, {Name: "ndcglow", K: k}, {Name: "ndcghigh", K: k}, {Name: "cndcg", K: k}}
			c, err := NewCalculator(scale, metrics, []judgments.GainTable{table}, "E")
			if err != nil {
				t.Fatal(err)
			}
			got, one := make([]float64, 4), make([]float64, 4)
			for range 60 {
				js, list := randomCase(r)
				q := &qrelsOf(t, js).Queries[0]
				c.Query(q, ranked(list...), got)
				var open []string
				for _, p := range cut(list, k) {
					if q.Level(p) == judgments.NoLevel {
						open = append(open, p)
					}
				}
				if len(open) > 4 {
					continue
				}
				low, high := math.Inf(1), math.Inf(-1)
				if math.IsNaN(got[0]) { // no nDCG, no bounds
					low, high = math.NaN(), math.NaN()
				}
				labelled := *q
				for code := range 1 << (2 * len(open)) { // four labels: two bits each
					labelled.Products, labelled.Levels = slices.Clone(q.Products), slices.Clone(q.Levels)
					for i, p := range open {
						at, _ := slices.BinarySearch(labelled.Products, p)
						labelled.Products = slices.Insert(labelled.Products, at, p)
						labelled.Levels = slices.Insert(labelled.Levels, at, int32(code>>(2*i)&3))
					}
					c.last = nil // the query has other labels now
					c.Query(&labelled, ranked(list...), one)
					if !math.IsNaN(one[0]) {
						low, high = min(low, one[0]), max(high, one[0])
					}
				}
				if !near(got[1], low) || !near(got[2], high) {
					t.Fatalf("gains %s, k %d: bounds %g and %g, but all labellings give %g and %g: %v, %v", table.Name, k, got[1], got[2], low, high, js, list)
				}
				if len(open) == 0 && (!same(got[0], got[1]) || !same(got[0], got[2])) {
					t.Fatalf("all judged, but nDCG is %g within %g and %g", got[0], got[1], got[2])
				}
			}
		}
	}
}

func TestCondensedIsNDCGWhereAllIsJudged(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 6))
	for range 300 {
		js, list := randomCase(r)
		q := qrelsOf(t, js)
		list = slices.DeleteFunc(list, func(p string) bool { return q.Queries[0].Level(p) == judgments.NoLevel })
		v := measured(t, q.Scale, &q.Queries[0], ranked(list...), "ndcg", "cndcg", "ndcg@3", "cndcg@3")
		if !same(v[0], v[1]) || !same(v[2], v[3]) {
			t.Fatalf("%v: %v, %v", v, js, list)
		}
	}
}

// Bounds that would need too many labellings are not there, rather than wrong.
func TestBoundsAreNotGuessed(t *testing.T) {
	q := qrelsOf(t, judgmentsOf("q a E", "q b S"))
	list := []string{"a"}
	for i := range 200 {
		list = append(list, fmt.Sprint("x", i))
	}
	v := measured(t, q.Scale, &q.Queries[0], ranked(list...), "ndcglow@10", "ndcglow@40", "ndcglow@200", "ndcghigh@200")
	if !(v[0] > 0 && v[1] > 0) || !math.IsNaN(v[2]) || !math.IsNaN(v[3]) {
		t.Error(v)
	}
}

// TestScalesOfManyLevels: the best of many levels is still told from the worst and
// from unjudged.
func TestScalesOfManyLevels(t *testing.T) {
	var js []judgments.Judgment
	for i := range 64 {
		js = append(js, judgments.Judgment{QueryID: "q", Product: fmt.Sprintf("p%02d", i), Label: judgments.Label(fmt.Sprint(float64(i+1) / 10))})
	}
	q := qrelsOf(t, js) // with 0, a level more than there are labels
	if n := len(q.Scale.Levels); n != 65 {
		t.Fatalf("%d levels", n)
	}
	list := slices.Clone(q.Queries[0].Products)
	slices.Reverse(list)
	v := measured(t, q.Scale, &q.Queries[0], ranked(list...), "ndcg", "ndcg@10", "err@10", "recall@64", "judged@64", "ndcglow@10", "ndcghigh@10")
	for i, want := range []float64{1, 1, v[2], 55. / 55, 1, 1, 1} {
		if !near(v[i], want) {
			t.Errorf("value %d is %g, want %g", i, v[i], want)
		}
	}
	if !(v[2] > .5 && v[2] < 1) {
		t.Errorf("ERR is %g", v[2])
	}
	v = measured(t, q.Scale, &q.Queries[0], ranked("p63", "x"), "dcg@1", "judged@2")
	if !near(v[0], 6.4) || v[1] != .5 {
		t.Error(v)
	}
}

func TestCalculatorErrors(t *testing.T) {
	scale := judgments.ESCI()
	many := judgments.Numeric([]float64{0, 1, 50})
	for _, c := range []struct {
		scale    judgments.Scale
		metric   Metric
		tables   []judgments.GainTable
		relevant string
	}{
		{scale, Metric{Name: "gain"}, scale.Tables(), "E"},
		{scale, Metric{Name: "ndcg", Gains: "none"}, scale.Tables(), "E"},
		{scale, Metric{Name: "ndcg"}, nil, "E"},
		{scale, Metric{Name: "ndcg"}, many.Tables(), "E"},
		{scale, Metric{Name: "recall"}, scale.Tables(), "X"},
		{scale, Metric{Name: "recall", Relevant: "E+S+C+I"}, scale.Tables(), "E"},
		{scale, Metric{Name: "recall", Relevant: ">=x"}, scale.Tables(), "E"},
		{scale, Metric{Name: "recall", Relevant: ">=4"}, scale.Tables(), "E"},
		{many, Metric{Name: "err"}, many.Tables(), ">=1"}, // 2^50 is no chance of satisfaction
	} {
		if _, err := NewCalculator(c.scale, []Metric{c.metric}, c.tables, c.relevant); err == nil {
			t.Errorf("%v with %v and %s: no error", c.metric, c.tables, c.relevant)
		}
	}
}

// ERR goes by grades, so that a table that gives some label no gain does not decide
// for which queries it exists.
func TestERRDoesNotDependOnGains(t *testing.T) {
	q := qrelsOf(t, judgmentsOf("q a S", "q b I"))
	c, err := NewCalculator(q.Scale, metricsOf(t, "err", "ndcg"), []judgments.GainTable{{Name: "exact", Gains: []float64{0, 0, 0, 1}}}, "E")
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float64, 2)
	c.Query(&q.Queries[0], ranked("a"), v)
	if v[0] != 3./8 || !math.IsNaN(v[1]) {
		t.Error(v)
	}
}

func BenchmarkCalculator(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 7))
	o, err := Options{}.WithDefaults(judgments.ESCI())
	if err != nil {
		b.Fatal(err)
	}
	c, err := NewCalculator(judgments.ESCI(), o.Metrics, o.Tables, o.Relevant)
	if err != nil {
		b.Fatal(err)
	}
	js, _ := randomCase(r)
	q := qrelsOf(b, js)
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprint("p", i))
	}
	hits, out := ranked(list...), make([]float64, len(o.Metrics))
	for b.Loop() {
		c.Query(&q.Queries[0], hits, out)
	}
}

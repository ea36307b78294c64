package eval

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

func TestHolm(t *testing.T) {
	for _, c := range []struct{ p, want []float64 }{
		// In order .005*4, .01*3, .03*2, .04*1; the last is raised to the one before.
		{[]float64{.01, .04, .03, .005}, []float64{.03, .06, .06, .02}},
		{[]float64{.04}, []float64{.04}},
		{[]float64{.5, .6, .01}, []float64{1, 1, .03}}, // 2*.5, never above 1
		{[]float64{.02, .02, .02}, []float64{.06, .06, .06}},
		{nil, nil},
	} {
		family := make([]Comparison, len(c.p))
		for i, p := range c.p {
			family[i].P = Number(p)
		}
		Holm(family)
		for i, want := range c.want {
			if got := float64(family[i].PHolm); !near(got, want) {
				t.Errorf("%v: %g at %d, want %g", c.p, got, i, want)
			}
		}
	}
}

// normalPairs are values of two systems whose differences are normal.
func normalPairs(r *rand.Rand, n int, mean, deviation float64) (a, b []float64) {
	for range n {
		x := r.Float64()
		a, b = append(a, x), append(b, x+mean+deviation*r.NormFloat64())
	}
	return a, b
}

func TestPValuesUnderTheNull(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	const samples = 300
	below := map[float64]int{.05: 0, .25: 0, .5: 0}
	for i := range samples {
		a, b := normalPairs(r, 30, 0, .2)
		p := float64(ComparePaired(a, b, Options{Draws: 500, Seed: uint64(i + 1)}).P)
		for bound := range below {
			if p < bound {
				below[bound]++
			}
		}
	}
	for bound, within := range map[float64][2]float64{.05: {.02, .09}, .25: {.18, .33}, .5: {.42, .58}} {
		if share := float64(below[bound]) / samples; share < within[0] || share > within[1] {
			t.Errorf("without a difference, %.3f of p-values are below %g", share, bound)
		}
	}
}

// With few queries the test tries all swaps, and so must give the share of swaps
// whose difference is as large.
func TestPValuesOfFewQueriesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{1, 2, 3, 5, 8, 13} {
		a, b := make([]float64, n), make([]float64, n)
		for i := range a { // tenths, so that many swaps give the same difference
			a[i], b[i] = float64(r.IntN(5))/10, float64(r.IntN(8))/10
		}
		whole := 0
		for i := range a {
			whole += int(math.Round(10 * (b[i] - a[i])))
		}
		count := 0
		for signs := range 1 << n {
			sum := 0
			for i := range a {
				d := int(math.Round(10 * (b[i] - a[i])))
				if signs>>i&1 == 1 {
					d = -d
				}
				sum += d
			}
			if max(sum, -sum) >= max(whole, -whole) {
				count++
			}
		}
		want := float64(count) / float64(int(1)<<n)
		if got := float64(ComparePaired(a, b, Options{}).P); got != want {
			t.Errorf("%d queries: p is %g, want %g", n, got, want)
		}
	}
}

func TestIntervalsCoverTheTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	const samples, n, truth, deviation = 300, 60, .05, .2
	covered, width := 0, 0.
	for i := range samples {
		a, b := normalPairs(r, n, truth, deviation)
		c := ComparePaired(a, b, Options{Draws: 400, Seed: uint64(i + 1)})
		if c.Low <= truth && truth <= c.High {
			covered++
		}
		width += float64(c.High-c.Low) / samples
	}
	if share := float64(covered) / samples; share < .9 || share > .98 {
		t.Errorf("intervals cover the truth in %.3f of samples", share)
	}
	if want := 2 * zAlpha * deviation / math.Sqrt(n); math.Abs(width/want-1) > .07 {
		t.Errorf("intervals are %.4f wide on average, normal ones %.4f", width, want)
	}
}

// With the power that Detectable promises, four in five differences of that size
// are found.
func TestDetectable(t *testing.T) {
	// Differences .1 and .3: mean .2, deviation sqrt(.02).
	c := ComparePaired([]float64{0, 0}, []float64{.1, .3}, Options{})
	if want := (1.959964 + .841621) * math.Sqrt(.02) / math.Sqrt(2); math.Abs(float64(c.Detectable)-want) > 1e-6 {
		t.Errorf("%g, want %g", float64(c.Detectable), want)
	}
	if want := .2 / math.Sqrt(.02); !near(float64(c.Effect), want) {
		t.Errorf("effect %g, want %g", float64(c.Effect), want)
	}
	r := rand.New(rand.NewPCG(2, 4))
	const samples, n, deviation = 200, 50, .2
	size := (zAlpha + zPower) * deviation / math.Sqrt(n)
	found := 0
	for i := range samples {
		a, b := normalPairs(r, n, size, deviation)
		if ComparePaired(a, b, Options{Draws: 500, Seed: uint64(i + 1)}).P < alpha {
			found++
		}
	}
	if share := float64(found) / samples; share < .7 || share > .9 {
		t.Errorf("%.3f of such differences were found", share)
	}
}

func TestIdenticalSystems(t *testing.T) {
	a, _ := normalPairs(rand.New(rand.NewPCG(2, 5)), 40, 0, 0)
	c := ComparePaired(a, slices.Clone(a), Options{})
	if c.Difference != 0 || c.Low != 0 || c.High != 0 || c.P != 1 || c.PHolm != 1 || c.Effect != 0 || c.Detectable != 0 || c.Outcome != Tie || c.Ties != 40 || c.Wins+c.Losses != 0 {
		t.Errorf("%+v", c)
	}
	if want := "b and a are equal on nDCG@10: the difference of .000 [.000, .000] is below .003, which nobody would notice."; c.Verdict != want {
		t.Errorf("%s\nwant %s", c.Verdict, want)
	}
}

// The same difference for every query has no deviation, though sums of fractions
// leave some in the last digits: an effect of 10^16 would be noise.
func TestTheSameDifferenceEverywhere(t *testing.T) {
	a, _ := normalPairs(rand.New(rand.NewPCG(2, 6)), 40, 0, 0)
	b := make([]float64, len(a))
	for i := range a {
		b[i] = a[i] + .1
	}
	c := ComparePaired(a, b, Options{})
	if c.Effect.Exists() || c.Detectable != 0 || c.Outcome != Better || c.Wins != 40 {
		t.Errorf("%+v", c)
	}
}

func TestSwappingSystemsMirrorsTheComparison(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 7))
	for _, n := range []int{7, 80} {
		a, b := normalPairs(r, n, .1, .2)
		x, y := ComparePaired(a, b, Options{}), ComparePaired(b, a, Options{})
		if !near(float64(x.Difference), -float64(y.Difference)) || !near(float64(x.Low), -float64(y.High)) || !near(float64(x.High), -float64(y.Low)) || !near(float64(x.Effect), -float64(y.Effect)) ||
			x.P != y.P || x.PHolm != y.PHolm || !near(float64(x.Detectable), float64(y.Detectable)) || x.Wins != y.Losses || x.Losses != y.Wins || x.Ties != y.Ties {
			t.Errorf("%+v\n%+v", x, y)
		}
		if x.Outcome == Better && y.Outcome != Worse || x.Outcome == Unclear && y.Outcome != Unclear {
			t.Errorf("%s, but swapped %s", x.Outcome, y.Outcome)
		}
	}
}

func TestSeeds(t *testing.T) {
	a, b := normalPairs(rand.New(rand.NewPCG(2, 8)), 80, .1, .2)
	bytes := func(o Options) string {
		s, err := json.Marshal(ComparePaired(a, b, o))
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	if x, y := bytes(Options{Seed: 5}), bytes(Options{Seed: 5}); x != y {
		t.Errorf("%s\nand then %s", x, y)
	}
	x, y := ComparePaired(a, b, Options{Seed: 5}), ComparePaired(a, b, Options{Seed: 6})
	if x.Low == y.Low || x.Difference != y.Difference || math.Abs(float64(x.Low-y.Low)) > .01 {
		t.Errorf("seeds 5 and 6: %+v and %+v", x, y)
	}
}

// Queries without a value, in whichever system, are left out of everything.
func TestPairsWithoutAValue(t *testing.T) {
	a, b := []float64{.1, .2, .3, .4, .5, .1}, []float64{.2, .5, .2, .8, .5, .4}
	want := ComparePaired(a, b, Options{})
	nan := math.NaN()
	got := ComparePaired(append(slices.Clone(a), nan, .9, nan), append(slices.Clone(b), .7, nan, nan), Options{})
	if got.Queries != 6 || want.Queries != 6 || got.Difference != want.Difference || got.P != want.P || got.Effect != want.Effect || got.Detectable != want.Detectable ||
		got.Wins != want.Wins || got.Ties != want.Ties || got.Losses != want.Losses || got.Wins != 4 || got.Ties != 1 || got.Losses != 1 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	// Draws differ, as there are more rows, but the interval is of the same thing.
	if math.Abs(float64(got.Low-want.Low)) > .03 || math.Abs(float64(got.High-want.High)) > .03 {
		t.Errorf("%g..%g, want %g..%g", float64(got.Low), float64(got.High), float64(want.Low), float64(want.High))
	}
	for _, pairs := range [][2][]float64{{{nan}, {.5}}, {nil, nil}} {
		c := ComparePaired(pairs[0], pairs[1], Options{})
		if c.Queries != 0 || c.Outcome != Unclear || c.Difference.Exists() || c.Low.Exists() || c.Effect.Exists() || c.Detectable.Exists() || c.Verdict != "b cannot be compared on nDCG@10: no query has it for all systems." {
			t.Errorf("%+v", c)
		}
	}
}

func TestComparePairedWantsPairs(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("values without a partner were compared")
		}
	}()
	ComparePaired([]float64{1}, nil, Options{})
}

func TestVerdicts(t *testing.T) {
	nan := Number(math.NaN())
	for _, c := range []struct {
		c             Comparison
		outcome, want string
	}{
		{Comparison{Difference: .0412, Low: .02, High: .0606, PHolm: .0004}, Better, "finetuned beats bm25 on nDCG@10 by .041 [.020, .061], p < .001."},
		{Comparison{Difference: -.0412, Low: -.0606, High: .001, PHolm: .0123}, Worse, "finetuned loses to bm25 on nDCG@10 by .041 [-.001, .061], p = .012. The interval (bootstrap) and p (randomisation) are found in two ways, which may disagree at the border."},
		{Comparison{Difference: .001, Low: -.002, High: .0029, PHolm: .9}, Tie, "finetuned and bm25 are equal on nDCG@10: the difference of +.001 [-.002, +.003] is below .003, which nobody would notice."},
		{Comparison{Difference: -.001, Low: -.04, High: .03, PHolm: .9}, Tie, "finetuned and bm25 are level on nDCG@10: the difference of -.001 is below .003; with 40 queries it may be as far off as [-.040, +.030]."},
		// significant, but nobody would act on it
		{Comparison{Difference: .002, Low: .001, High: .0029, PHolm: .0001}, Tie, "finetuned and bm25 are equal on nDCG@10: the difference of +.002 [+.001, +.003] is below .003, which nobody would notice."},
		{Comparison{Difference: .02, Low: -.01, High: .05, PHolm: .2, Detectable: .043}, Unclear, "No difference between finetuned and bm25 can be shown on nDCG@10 with 40 queries: +.020 [-.010, +.050], p = .200. A difference of .043 would have been found four times in five."},
		{Comparison{Queries: 6, Difference: .02, Low: .001, High: .05, P: .03125, PHolm: .09375, Detectable: nan}, Unclear, "No difference between finetuned and bm25 can be shown on nDCG@10 with 6 queries: +.020 [+.001, +.050], p = .094. The interval is of this comparison alone, for which p = .031; the p before is corrected for 3 comparisons (Holm). With 6 queries and 3 comparisons p cannot be below .094 (3 x 2/2^6), whatever the rankings are, so that no difference can be shown."},
		// the interval leaves zero out, but p cannot follow
		{Comparison{Queries: 4, Difference: .02, Low: .001, High: .05, P: .125, PHolm: .375}, Unclear, "No difference between finetuned and bm25 can be shown on nDCG@10 with 4 queries: +.020 [+.001, +.050], p = .375. With 4 queries and 3 comparisons p cannot be below .375 (3 x 2/2^4), whatever the rankings are, so that no difference can be shown."},
		{Comparison{Difference: .02, Low: .001, High: .05, P: .051, PHolm: .051, Detectable: .03}, Unclear, "No difference between finetuned and bm25 can be shown on nDCG@10 with 40 queries: +.020 [+.001, +.050], p = .051. The interval (bootstrap) and p (randomisation) are found in two ways, which may disagree at the border. A difference of .030 would have been found four times in five."},
		{Comparison{Difference: nan, Low: nan, High: nan, PHolm: 1}, Unclear, "finetuned cannot be compared on nDCG@10: no query has it for all systems."},
	} {
		c.c.A, c.c.B, c.c.Queries = "bm25", "finetuned", cmp.Or(c.c.Queries, 40)
		c.c.judge("nDCG@10", DefaultTie, 3)
		if c.c.Outcome != c.outcome || c.c.Verdict != c.want {
			t.Errorf("%s: %s\nwant %s: %s", c.c.Outcome, c.c.Verdict, c.outcome, c.want)
		}
	}
}

func TestShort(t *testing.T) {
	for _, c := range []struct {
		x             float64
		short, signed string
	}{
		{0, ".000", ".000"}, {math.Copysign(0, -1), ".000", ".000"}, {.0004, ".000", ".000"}, {-.0004, ".000", ".000"}, {.0006, ".001", "+.001"}, {-.0006, "-.001", "-.001"},
		{.5, ".500", "+.500"}, {-.25, "-.250", "-.250"}, {.9996, "1.000", "+1.000"}, {1, "1.000", "+1.000"}, {-1.5, "-1.500", "-1.500"}, {12.3456, "12.346", "+12.346"}, {math.NaN(), "–", "–"},
	} {
		if Short(c.x) != c.short || Signed(c.x) != c.signed {
			t.Errorf("%g: %s and %s, want %s and %s", c.x, Short(c.x), Signed(c.x), c.short, c.signed)
		}
	}
	for p, want := range map[float64]string{0: "< .001", .00099: "< .001", .001: "= .001", .0449: "= .045", 1: "= 1.000"} {
		if got := pValue(p); got != want {
			t.Errorf("p %g: %s, want %s", p, got, want)
		}
	}
}

// Holm corrects over the pairs of one metric, not over metrics: a report with more
// metrics must not change what it says of one.
func TestComparisonsOfManySystems(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 9))
	metrics := metricsOf(t, "ndcg@10", "judged@10", "mrr@10")
	tab := newTable([]string{"a", "b", "c"}, metrics, 50)
	for q := range tab.queries {
		for s := range 3 {
			for m := range metrics {
				tab.row(q, s)[m] = r.Float64() + .1*float64(s)
			}
		}
	}
	tab.row(7, 1)[2] = math.NaN()
	o, err := Options{Draws: 1000}.WithDefaults(judgments.ESCI())
	if err != nil {
		t.Fatal(err)
	}
	got := tab.analyse(o)
	var pairs []string
	for _, c := range got.comparisons {
		pairs = append(pairs, c.Metric+" "+c.A+c.B)
		if c.PHolm < c.P || c.PHolm > min(1, 3*c.P+1e-9) {
			t.Errorf("%+v", c)
		}
	}
	if s := strings.Join(pairs, ","); s != "ndcg@10 ab,ndcg@10 ac,ndcg@10 bc,mrr@10 ab,mrr@10 ac,mrr@10 bc" { // more judged hits are no merit
		t.Error(s)
	}
	one := newTable(tab.systems, metrics[:1], 50)
	for q := range tab.queries {
		for s := range 3 {
			one.row(q, s)[0] = tab.row(q, s)[0]
		}
	}
	for i, c := range one.analyse(o).comparisons {
		if c != got.comparisons[i] {
			t.Errorf("alone %+v\nbeside others %+v", c, got.comparisons[i])
		}
	}
	// The query that one system has no value for counts for none.
	if m := got.metrics[2]; m.Queries != 49 || m.Left != 1 || got.metrics[0].Queries != 50 || got.comparisons[4].Queries != 49 {
		t.Errorf("%+v", m)
	}
	for _, m := range got.metrics {
		for _, v := range m.Values {
			if !(v.Low < v.Mean && v.Mean < v.High) {
				t.Errorf("%s: %+v", m.Metric, v)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct{ p, want float64 }{{0, 1}, {1, 4}, {.5, 2.5}, {.25, 1.75}} { // type 7
		if got := quantile([]float64{1, 2, 3, 4}, c.p); !near(got, c.want) {
			t.Errorf("%g: %g, want %g", c.p, got, c.want)
		}
	}
	if quantile([]float64{3}, .7) != 3 || !math.IsNaN(quantile(nil, .5)) {
		t.Error("of one value, or of none")
	}
}

package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/judgments"
)

// Significance below which a difference counts, and the power of which the
// smallest detectable difference speaks.
const (
	alpha      = .05
	confidence = 1 - alpha
	// Quantiles of the normal distribution for alpha, two-sided, and for a power
	// of four in five.
	zAlpha = 1.959963984540054
	zPower = .8416212335729143
)

// DefaultTie is the difference below which two systems are called equal whatever
// the p-value: nobody would act on it.
const DefaultTie = .003

// DefaultDraws of the bootstrap and of the randomisation test.
const DefaultDraws = 10_000

// table holds the value of each metric for each system and query; NaN where it
// does not exist.
type table struct {
	systems []string
	metrics []Metric
	queries int
	values  []float64 // [query][system][metric]
	absent  []bool    // systems that take no part
}

func newTable(systems []string, metrics []Metric, queries int) *table {
	t := &table{systems: systems, metrics: metrics, queries: queries, absent: make([]bool, len(systems))}
	t.values = make([]float64, queries*len(systems)*len(metrics))
	for i := range t.values {
		t.values[i] = math.NaN()
	}
	return t
}

// row is where the metrics of a system for a query stand.
func (t *table) row(query, system int) []float64 {
	n := len(t.metrics)
	at := (query*len(t.systems) + system) * n
	return t.values[at : at+n]
}

func (t *table) at(query, system, metric int) float64 { return t.row(query, system)[metric] }

// shared reports whether a metric exists for a query and all systems: only then
// can it be compared.
func (t *table) shared(query, metric int) bool {
	for s := range t.systems {
		if !t.absent[s] && math.IsNaN(t.at(query, s, metric)) {
			return false
		}
	}
	return true
}

// statistics of a table.
type statistics struct {
	metrics     []MetricInfo
	comparisons []Comparison
}

// analyse computes means, intervals and all comparisons.
func (t *table) analyse(o Options) statistics {
	S, M := len(t.systems), len(t.metrics)
	// Columns: for each metric first whether it exists, then the systems' values.
	// A metric that compares nothing exists or not for each system by itself.
	cols, first := 0, make([]int, M)
	for m, metric := range t.metrics {
		first[m] = cols
		if cols += 1 + S; metric.Neutral() {
			cols += S - 1
		}
	}
	exists := func(metric, system int) int {
		if t.metrics[metric].Neutral() {
			return first[metric] + system
		}
		return first[metric]
	}
	column := func(metric, system int) int {
		if t.metrics[metric].Neutral() {
			return first[metric] + S + system
		}
		return first[metric] + 1 + system
	}
	r := &resampling{rows: t.queries, cols: cols, values: make([]float64, t.queries*cols)}
	total := make([]float64, cols)
	for q := range t.queries {
		row := r.values[q*cols : (q+1)*cols]
		for m := range M {
			if !t.metrics[m].Neutral() && !t.shared(q, m) {
				continue
			}
			for s := range S {
				if x := t.at(q, s, m); !t.absent[s] && !math.IsNaN(x) {
					row[exists(m, s)], row[column(m, s)] = 1, x
				}
			}
		}
		for i, v := range row {
			total[i] += v
		}
	}
	boot := r.bootstrap(o.Draws, o.Seed)
	flips, exact := r.flips(o.Draws, o.Seed)

	present := 0
	for _, a := range t.absent {
		if !a {
			present++
		}
	}
	pairs := present * (present - 1) / 2
	var out statistics
	draws := make([]float64, 0, o.Draws)
	// interval of a linear combination of a metric's columns, divided by the
	// number of queries that were drawn and have the metric.
	interval := func(exists int, of func(sums []float64) float64) (low, high Number) {
		draws = draws[:0]
		for d := range o.Draws {
			sums := boot[d*cols : (d+1)*cols]
			if n := sums[exists]; n > 0 {
				draws = append(draws, of(sums)/n)
			}
		}
		slices.Sort(draws)
		return Number(quantile(draws, alpha/2)), Number(quantile(draws, 1-alpha/2))
	}
	for m, metric := range t.metrics {
		info := MetricInfo{Metric: metric.String(), Title: metric.Title(), Neutral: metric.Neutral(), Random: Number(math.NaN())}
		for s := range S {
			v := Value{Mean: Number(math.NaN()), Low: Number(math.NaN()), High: Number(math.NaN())}
			if n := total[exists(m, s)]; !t.absent[s] {
				info.Queries = max(info.Queries, int(n))
				v.Mean = Number(total[column(m, s)] / n)
				v.Low, v.High = interval(exists(m, s), func(sums []float64) float64 { return sums[column(m, s)] })
			}
			info.Values = append(info.Values, v)
		}
		info.Left = t.queries - info.Queries
		out.metrics = append(out.metrics, info)
		if metric.Neutral() {
			continue
		}
		begin := len(out.comparisons)
		for a := range S {
			for b := a + 1; b < S; b++ {
				if t.absent[a] || t.absent[b] {
					continue
				}
				c := t.compare(m, a, b, o)
				c.Detectable = detectable(&c, pairs)
				c.Low, c.High = interval(exists(m, a), func(sums []float64) float64 { return sums[column(m, b)] - sums[column(m, a)] })
				c.P = Number(math.NaN())
				if c.Queries > 0 {
					c.P = Number(t.randomisation(flips, exact, cols, column(m, a), column(m, b), total))
				}
				out.comparisons = append(out.comparisons, c)
			}
		}
		Holm(out.comparisons[begin:])
		for i := range out.comparisons[begin:] {
			out.comparisons[begin+i].judge(metric.Title(), o.Tie, pairs)
		}
	}
	return out
}

// compare computes what needs no resampling of b against a.
func (t *table) compare(metric, a, b int, o Options) Comparison {
	c := Comparison{Metric: t.metrics[metric].String(), A: t.systems[a], B: t.systems[b]}
	var sum, squares float64
	for q := range t.queries {
		if !t.shared(q, metric) {
			continue
		}
		d := t.at(q, b, metric) - t.at(q, a, metric)
		c.Queries++
		sum += d
		switch {
		case d > o.Tie:
			c.Wins++
		case d < -o.Tie:
			c.Losses++
		default:
			c.Ties++
		}
	}
	n := float64(c.Queries)
	mean := sum / n
	for q := range t.queries {
		if t.shared(q, metric) {
			d := t.at(q, b, metric) - t.at(q, a, metric) - mean
			squares += d * d
		}
	}
	deviation := math.NaN()
	if c.Queries > 1 {
		deviation = math.Sqrt(squares / (n - 1))
	}
	c.Difference, c.Effect = Number(mean), Number(mean/deviation)
	if deviation <= 1e-12*(1+math.Abs(mean)) { // the same difference everywhere, but for rounding
		deviation, c.Effect = 0, Number(math.NaN())
		if mean == 0 {
			c.Effect = 0
		}
	}
	c.deviation = deviation
	return c
}

// meanInterval is the mean of values with its bootstrap interval.
func meanInterval(values []float64, o Options) (middle, low, high Number) {
	r := resampling{rows: len(values), cols: 1, values: values}
	draws := r.bootstrap(o.Draws, o.Seed)
	slices.Sort(draws)
	n := float64(len(values))
	sum := 0.
	for _, v := range values {
		sum += v
	}
	return Number(sum / n), Number(quantile(draws, alpha/2) / n), Number(quantile(draws, 1-alpha/2) / n)
}

// detectable is the smallest difference that the test would have found four times
// in five as the smallest p-value of so many pairs, by the normal approximation.
// With very few queries there is none.
func detectable(c *Comparison, pairs int) Number {
	if leastP(c.Queries, pairs) >= alpha {
		return Number(math.NaN())
	}
	z := math.Sqrt2 * math.Erfinv(1-alpha/float64(pairs))
	return Number((z + zPower) * c.deviation / math.Sqrt(float64(c.Queries)))
}

// leastP is the least p-value that the randomisation test can find of one of so many
// pairs: of the 2^n ways to swap the systems of n queries, at least two, none and all,
// give a difference as large as the one that is there.
func leastP(queries, pairs int) float64 {
	return min(1, float64(pairs)*math.Pow(2, 1-float64(queries)))
}

// randomisation is the p-value of the paired randomisation test (Fisher; for
// retrieval Smucker, Allan and Carterette, 2007): how often swapping the two
// systems at random for each query gives a difference as large as the one that is
// there. With few queries all swaps are tried and the value is exact.
func (t *table) randomisation(flips []float64, exact bool, cols, a, b int, total []float64) float64 {
	whole := total[b] - total[a]
	// Sums were taken in different orders, so that equal differences may differ
	// in their last bits; a difference that close counts as equal.
	slack := 1e-12 * (1 + math.Abs(total[a]) + math.Abs(total[b]))
	at := math.Abs(whole) - slack
	n, count := len(flips)/cols, 0
	for d := range n {
		kept := flips[d*cols+b] - flips[d*cols+a]
		if math.Abs(2*kept-whole) >= at {
			count++
		}
	}
	if exact {
		return float64(count) / float64(n)
	}
	return float64(count+1) / float64(n+1)
}

// Holm sets PHolm of comparisons that belong together: their p-values, corrected for
// how many they are (Holm, 1979).
func Holm(family []Comparison) {
	order := make([]int, len(family))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case family[i].P < family[j].P:
			return -1
		case family[i].P > family[j].P:
			return 1
		}
		return 0
	})
	least := 0.
	for i, at := range order {
		p := float64(len(family)-i) * float64(family[at].P)
		least = max(least, min(1, p))
		family[at].PHolm = Number(least)
	}
}

// judge draws the conclusion from the numbers and words it; pairs is how many comparisons
// by this metric there are.
func (c *Comparison) judge(metric string, tie float64, pairs int) {
	d := float64(c.Difference)
	size, low, high := Short(math.Abs(d)), Signed(float64(c.Low)), Signed(float64(c.High))
	switch {
	case c.Queries == 0 || math.IsNaN(d):
		c.Outcome = Unclear
		c.Verdict = fmt.Sprintf("%s cannot be compared on %s: no query has it for all systems.", c.B, metric)
	case math.Abs(d) < tie && float64(c.Low) > -tie && float64(c.High) < tie:
		c.Outcome = Tie
		c.Verdict = fmt.Sprintf("%s and %s are equal on %s: the difference of %s [%s, %s] is below %s, which nobody would notice.",
			c.B, c.A, metric, Signed(d), low, high, Short(tie))
	case math.Abs(d) < tie:
		c.Outcome = Tie
		c.Verdict = fmt.Sprintf("%s and %s are level on %s: the difference of %s is below %s; with %s it may be as far off as [%s, %s].",
			c.B, c.A, metric, Signed(d), Short(tie), queries(c.Queries), low, high)
	case c.PHolm < alpha && d > 0:
		c.Outcome = Better
		c.Verdict = fmt.Sprintf("%s beats %s on %s by %s [%s, %s], p %s.", c.B, c.A, metric, size, Short(float64(c.Low)), Short(float64(c.High)), pValue(float64(c.PHolm))) + c.reconcile(pairs)
	case c.PHolm < alpha:
		c.Outcome = Worse
		c.Verdict = fmt.Sprintf("%s loses to %s on %s by %s [%s, %s], p %s.", c.B, c.A, metric, size, Short(-float64(c.High)), Short(-float64(c.Low)), pValue(float64(c.PHolm))) + c.reconcile(pairs)
	default:
		c.Outcome = Unclear
		c.Verdict = fmt.Sprintf("No difference between %s and %s can be shown on %s with %s: %s [%s, %s], p %s.",
			c.B, c.A, metric, queries(c.Queries), Signed(d), low, high, pValue(float64(c.PHolm))) + c.reconcile(pairs) + c.power(pairs)
	}
}

// power says what the test could have shown.
func (c *Comparison) power(pairs int) string {
	if least := leastP(c.Queries, pairs); least >= alpha {
		among, times := "", ""
		if pairs > 1 {
			among, times = " and "+english.Count(pairs, "comparison"), fmt.Sprintf("%d x ", pairs)
		}
		return fmt.Sprintf(" With %s%s p cannot be below %s (%s2/2^%d), whatever the rankings are, so that no difference can be shown.",
			queries(c.Queries), among, Short(least), times, c.Queries)
	}
	return fmt.Sprintf(" A difference of %s would have been found four times in five.", Short(float64(c.Detectable)))
}

// reconcile says why interval and p-value do not agree on whether there is a difference,
// if they do not.
func (c *Comparison) reconcile(pairs int) string {
	excluded := c.Low > 0 || c.High < 0
	switch {
	case excluded == (c.PHolm < alpha):
		return ""
	case excluded && c.P < alpha:
		return fmt.Sprintf(" The interval is of this comparison alone, for which p %s; the p before is corrected for %s (Holm).", pValue(float64(c.P)), english.Count(pairs, "comparison"))
	case leastP(c.Queries, pairs) >= alpha:
		return "" // that is why, and power says it
	}
	return " The interval (bootstrap) and p (randomisation) are found in two ways, which may disagree at the border."
}

// queries writes "1 query", "2 queries".
func queries(n int) string {
	return english.Count(n, "query")
}

// Short writes a number as papers do: three decimals, no zero before the point.
func Short(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	s := fmt.Sprintf("%.3f", x)
	if rest, ok := strings.CutPrefix(s, "0."); ok {
		return "." + rest
	}
	if rest, ok := strings.CutPrefix(s, "-0."); ok {
		if rest == "000" {
			return ".000"
		}
		return "-." + rest
	}
	return s
}

// Signed is Short with a plus before what is above zero.
func Signed(x float64) string {
	if s := Short(x); x > 0 && s != ".000" {
		return "+" + s
	} else {
		return s
	}
}

// pValue writes "= .012" or "< .001".
func pValue(p float64) string {
	switch {
	case math.IsNaN(p):
		return "unknown"
	case p < .001:
		return "< .001"
	}
	return "= " + Short(p)
}

// ComparePaired compares paired values of two systems, b against a; a pair with a
// value that is NaN is left out.
func ComparePaired(a, b []float64, o Options) Comparison {
	o, err := o.WithDefaults(judgments.ESCI())
	if err != nil || len(a) != len(b) {
		panic(fmt.Sprintf("eval: cannot compare %d with %d values: %v", len(a), len(b), err))
	}
	t := newTable([]string{"a", "b"}, o.Metrics[:1], len(a))
	for i := range a {
		t.row(i, 0)[0], t.row(i, 1)[0] = a[i], b[i]
	}
	return t.analyse(o).comparisons[0]
}

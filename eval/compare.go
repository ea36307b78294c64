package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
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
}

func newTable(systems []string, metrics []Metric, queries int) *table {
	t := &table{systems: systems, metrics: metrics, queries: queries}
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
		if math.IsNaN(t.at(query, s, metric)) {
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
	cols := M * (S + 1)
	column := func(metric, system int) int { return metric*(S+1) + 1 + system }
	r := &resampling{rows: t.queries, cols: cols, values: make([]float64, t.queries*cols)}
	total := make([]float64, cols)
	for q := range t.queries {
		row := r.values[q*cols : (q+1)*cols]
		for m := range M {
			if !t.shared(q, m) {
				continue
			}
			row[column(m, -1)] = 1
			for s := range S {
				row[column(m, s)] = t.at(q, s, m)
			}
		}
		for i, v := range row {
			total[i] += v
		}
	}
	boot := r.bootstrap(o.Draws, o.Seed)
	flips, exact := r.flips(o.Draws, o.Seed)

	var out statistics
	draws := make([]float64, 0, o.Draws)
	// interval of a linear combination of a metric's columns, divided by the
	// number of queries that were drawn and have the metric.
	interval := func(m int, of func(sums []float64) float64) (low, high Number) {
		draws = draws[:0]
		for d := range o.Draws {
			sums := boot[d*cols : (d+1)*cols]
			if n := sums[column(m, -1)]; n > 0 {
				draws = append(draws, of(sums)/n)
			}
		}
		slices.Sort(draws)
		return Number(quantile(draws, alpha/2)), Number(quantile(draws, 1-alpha/2))
	}
	for m, metric := range t.metrics {
		n := total[column(m, -1)]
		info := MetricInfo{Metric: metric.String(), Title: metric.Title(), Queries: int(n), Left: t.queries - int(n), Neutral: metric.Neutral(), Random: Number(math.NaN())}
		for s := range S {
			v := Value{Mean: Number(total[column(m, s)] / n)}
			v.Low, v.High = interval(m, func(sums []float64) float64 { return sums[column(m, s)] })
			info.Values = append(info.Values, v)
		}
		out.metrics = append(out.metrics, info)
		if metric.Neutral() {
			continue
		}
		first := len(out.comparisons)
		for a := range S {
			for b := a + 1; b < S; b++ {
				c := t.compare(m, a, b, o)
				c.Low, c.High = interval(m, func(sums []float64) float64 { return sums[column(m, b)] - sums[column(m, a)] })
				c.P = Number(t.randomisation(flips, exact, cols, column(m, a), column(m, b), total))
				out.comparisons = append(out.comparisons, c)
			}
		}
		holm(out.comparisons[first:])
		for i := range out.comparisons[first:] {
			out.comparisons[first+i].judge(metric.Title(), o.Tie)
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
	c.Detectable = Number((zAlpha + zPower) * deviation / math.Sqrt(n))
	return c
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

// holm corrects the p-values of a family (Holm, 1979).
func holm(family []Comparison) {
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

// judge draws the conclusion from the numbers and words it.
func (c *Comparison) judge(metric string, tie float64) {
	d := float64(c.Difference)
	size, low, high := Short(math.Abs(d)), Signed(float64(c.Low)), Signed(float64(c.High))
	switch {
	case c.Queries == 0 || math.IsNaN(d):
		c.Outcome = Unclear
		c.Verdict = fmt.Sprintf("%s cannot be compared on %s: no query has it for all systems.", cap1(c.B), metric)
	case math.Abs(d) < tie && float64(c.Low) > -tie && float64(c.High) < tie:
		c.Outcome = Tie
		c.Verdict = fmt.Sprintf("%s and %s are equal on %s: the difference of %s [%s, %s] is below %s, which nobody would notice.",
			cap1(c.B), c.A, metric, Signed(d), low, high, Short(tie))
	case math.Abs(d) < tie:
		c.Outcome = Tie
		c.Verdict = fmt.Sprintf("%s and %s are level on %s: the difference of %s is below %s; with %d queries it may be as far off as [%s, %s].",
			cap1(c.B), c.A, metric, Signed(d), Short(tie), c.Queries, low, high)
	case c.PHolm < alpha && d > 0:
		c.Outcome = Better
		c.Verdict = fmt.Sprintf("%s beats %s on %s by %s [%s, %s], p %s.", cap1(c.B), c.A, metric, size, Short(float64(c.Low)), Short(float64(c.High)), pValue(float64(c.PHolm)))
	case c.PHolm < alpha:
		c.Outcome = Worse
		c.Verdict = fmt.Sprintf("%s loses to %s on %s by %s [%s, %s], p %s.", cap1(c.B), c.A, metric, size, Short(-float64(c.High)), Short(-float64(c.Low)), pValue(float64(c.PHolm)))
	default:
		c.Outcome = Unclear
		c.Verdict = fmt.Sprintf("No difference between %s and %s can be shown on %s with %d queries: %s [%s, %s], p %s; %s could have been.",
			c.B, c.A, metric, c.Queries, Signed(d), low, high, pValue(float64(c.PHolm)), Short(float64(c.Detectable)))
	}
}

func cap1(s string) string {
	if s == "" || s == "bm25" {
		return strings.ToUpper(s)
	}
	first, size := utf8.DecodeRuneInString(s)
	if first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
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
	o, err := o.WithDefaults(ESCI())
	if err != nil || len(a) != len(b) {
		panic(fmt.Sprintf("eval: cannot compare %d with %d values: %v", len(a), len(b), err))
	}
	t := newTable([]string{"a", "b"}, o.Metrics[:1], len(a))
	for i := range a {
		t.row(i, 0)[0], t.row(i, 1)[0] = a[i], b[i]
	}
	return t.analyse(o).comparisons[0]
}

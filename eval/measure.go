package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/judgments"
)

func pow2(x float64) float64 { return math.Exp2(x) }

// ranking is a ranked list reduced to what metrics look at: the level of each hit,
// judgments.NoLevel where nobody judged it.
type ranking struct {
	levels []int32
	// judgedLevels are the hits that were judged, for condensed metrics.
	judgedLevels []int32
}

// target is what is to be found for one query, as one metric sees it.
type target struct {
	gains       []float64 // by level
	ideal       []float64 // gains of all judged products, best first
	relevant    []bool    // by level
	R, N        int       // judged products that are relevant, and that are not
	best        float64   // greatest grade of a judged product
	grades      []float64 // by level
	persistence float64
}

// cut returns the first k hits, all if k is 0.
func cut[T any](levels []T, k int) []T {
	if k > 0 && k < len(levels) {
		return levels[:k]
	}
	return levels
}

// discounts holds 1/log2(rank+1) for the first ranks.
var discounts = func() (d [1024]float64) {
	for i := range d {
		d[i] = 1 / math.Log2(float64(i)+2)
	}
	return d
}()

// discount of the hit at index i (rank i+1), by Järvelin and Kekäläinen (2002) in
// the form that trec_eval and Burges use: 1/log2(rank+1).
func discount(i int) float64 {
	if i < len(discounts) {
		return discounts[i]
	}
	return 1 / math.Log2(float64(i)+2)
}

func dcg(levels []int32, gains []float64) (sum float64) {
	for i, l := range levels {
		if l >= 0 {
			sum += gains[l] * discount(i)
		}
	}
	return sum
}

// idcg is the DCG of the best order of all judged products.
func (t *target) idcg(k int) (sum float64) {
	for i, g := range cut(t.ideal, k) {
		sum += g * discount(i)
	}
	return sum
}

func (r *ranking) dcg(t *target, k int) float64 { return dcg(cut(r.levels, k), t.gains) }

// ndcg is DCG over the DCG of the best order of all judged products; it does not
// exist for a query without any gain.
func (r *ranking) ndcg(t *target, k int) float64 {
	ideal := t.idcg(k)
	if ideal == 0 {
		return math.NaN()
	}
	return dcg(cut(r.levels, k), t.gains) / ideal
}

// condensed is nDCG of the ranking without its unjudged hits (Sakai, 2007).
func (r *ranking) condensed(t *target, k int) float64 {
	ideal := t.idcg(k)
	if ideal == 0 {
		return math.NaN()
	}
	return dcg(cut(r.judgedLevels, k), t.gains) / ideal
}

// lowest and highest are the bounds of nDCG@k over all labels that the unjudged
// hits among the first k might be given.
func (r *ranking) lowest(t *target, k int) float64  { low, _ := r.bounds(t, k); return low }
func (r *ranking) highest(t *target, k int) float64 { _, high := r.bounds(t, k); return high }

// MaxAssignments bounds the labellings of a query's unjudged hits that the bounds of
// nDCG try; beyond, the bounds are not given rather than guessed. Ten unjudged hits may
// have eight labels.
const MaxAssignments = 20_000

// bounds tries labellings of the unjudged hits. The ideal order knows only how
// many hits get each label, so for given numbers the least DCG has the good labels
// last and the greatest has them first: it is enough to try numbers. A newly
// labelled product also enters the ideal, so that nDCG may fall by one. A query
// without any gain has no nDCG and so no bounds: theirs are of the same queries.
func (r *ranking) bounds(t *target, k int) (low, high float64) {
	if t.idcg(k) == 0 {
		return math.NaN(), math.NaN()
	}
	hits := cut(r.levels, k)
	var places []int
	for i, l := range hits {
		if l < 0 {
			places = append(places, i)
		}
	}
	levels := len(t.gains)
	// Combinations of len(places) labels with repetition.
	count := 1.
	for i := 1; i < levels; i++ {
		count *= float64(len(places)+i) / float64(i)
	}
	if count > MaxAssignments {
		return math.NaN(), math.NaN()
	}
	base := dcg(hits, t.gains)
	order := make([]int, levels) // levels by gain, best first
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case t.gains[a] > t.gains[b]:
			return -1
		case t.gains[a] < t.gains[b]:
			return 1
		}
		return 0
	})
	low, high = math.NaN(), math.NaN()
	assigned := make([]float64, len(places)) // gains, best first
	var try func(level, from int)
	try = func(level, from int) {
		if level == levels-1 || from == len(places) {
			for i := from; i < len(places); i++ {
				assigned[i] = t.gains[order[level]]
			}
			ideal := mergedIDCG(t.ideal, assigned, k)
			best, worst := base, base
			for i, g := range assigned {
				best += g * discount(places[i])
				worst += g * discount(places[len(places)-1-i])
			}
			if v := worst / ideal; !(v >= low) {
				low = v
			}
			if v := min(1, best/ideal); !(v <= high) { // sums in different orders: a 1 may come out above
				high = v
			}
			return
		}
		for n := 0; from+n <= len(places); n++ {
			for i := from; i < from+n; i++ {
				assigned[i] = t.gains[order[level]]
			}
			try(level+1, from+n)
		}
	}
	try(0, 0)
	return low, high
}

// mergedIDCG is the ideal DCG over two lists of gains, each best first.
func mergedIDCG(a, b []float64, k int) (sum float64) {
	for i := 0; (k == 0 || i < k) && len(a)+len(b) > 0; i++ {
		if len(b) == 0 || len(a) > 0 && a[0] >= b[0] {
			sum, a = sum+a[0]*discount(i), a[1:]
		} else {
			sum, b = sum+b[0]*discount(i), b[1:]
		}
	}
	return sum
}

func (t *target) is(level int32) bool { return level >= 0 && t.relevant[level] }

func (r *ranking) found(t *target, k int) (n int) {
	for _, l := range cut(r.levels, k) {
		if t.is(l) {
			n++
		}
	}
	return n
}

// Metrics of found and not found do not exist for a query without a relevant
// product: no ranking of it is better than another.

func (r *ranking) recall(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	return float64(r.found(t, k)) / float64(t.R)
}

// precision divides by k, as trec_eval does, even if fewer hits were returned.
func (r *ranking) precision(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	n := k
	if n == 0 {
		n = max(len(r.levels), 1)
	}
	return float64(r.found(t, k)) / float64(n)
}

func (r *ranking) mrr(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	for i, l := range cut(r.levels, k) {
		if t.is(l) {
			return 1 / float64(i+1)
		}
	}
	return 0
}

func (r *ranking) success(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	return float64(min(1, r.found(t, k)))
}

// averagePrecision is the mean, over all relevant products, of the precision at
// their ranks; those not among the first k add 0 (map_cut of trec_eval).
func (r *ranking) averagePrecision(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	sum, found := 0., 0
	for i, l := range cut(r.levels, k) {
		if t.is(l) {
			found++
			sum += float64(found) / float64(i+1)
		}
	}
	return sum / float64(t.R)
}

// bpref by Buckley and Voorhees (2004), in the form of trec_eval: it looks at
// judged hits only, and only at as many that are not relevant as are relevant.
func (r *ranking) bpref(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	sum, wrong := 0., 0
	for _, l := range cut(r.levels, k) {
		switch {
		case l < 0:
		case !t.relevant[l]:
			wrong++
		case wrong == 0:
			sum++
		default:
			sum += 1 - float64(min(wrong, t.R))/float64(min(t.R, t.N))
		}
	}
	return sum / float64(t.R)
}

// rbp is rank-biased precision (Moffat and Zobel, 2008).
func (r *ranking) rbp(t *target, k int) float64 {
	if t.R == 0 {
		return math.NaN()
	}
	sum, weight := 0., 1-t.persistence
	for _, l := range cut(r.levels, k) {
		if t.is(l) {
			sum += weight
		}
		weight *= t.persistence
	}
	return sum
}

// err is expected reciprocal rank (Chapelle et al., 2009): a hit of grade g
// satisfies with probability (2^g-1)/2^G, G being the greatest grade of the scale.
// It does not exist for a query of whose products none has a grade.
func (r *ranking) err(t *target, k int) float64 {
	top := t.grades[len(t.grades)-1]
	if t.best == 0 {
		return math.NaN()
	}
	sum, left := 0., 1.
	for i, l := range cut(r.levels, k) {
		if l < 0 {
			continue
		}
		satisfied := (pow2(t.grades[l]) - 1) / pow2(top)
		sum += left * satisfied / float64(i+1)
		left *= 1 - satisfied
	}
	return sum
}

// judged is the share of the first k hits that somebody judged; it does not exist
// where nothing was returned.
func (r *ranking) judged(_ *target, k int) float64 {
	hits := cut(r.levels, k)
	if len(hits) == 0 {
		return math.NaN()
	}
	n := 0
	for _, l := range hits {
		if l >= 0 {
			n++
		}
	}
	return float64(n) / float64(len(hits))
}

// Calculator computes a fixed list of metrics. It may be used by one goroutine at
// a time.
type Calculator struct {
	scale    judgments.Scale
	metrics  []Metric
	measures []func(*ranking, *target, int) float64
	targets  []target
	last     *judgments.Query // what the targets are of
	r        ranking
}

// NewCalculator prepares metrics for judgements on a scale. tables are the gain
// tables that metrics may name, the first being the default; relevant names the
// labels that count as relevant where a metric does not say.
func NewCalculator(scale judgments.Scale, metrics []Metric, tables []judgments.GainTable, relevant string) (*Calculator, error) {
	c := &Calculator{scale: scale, metrics: metrics, targets: make([]target, len(metrics))}
	grades := make([]float64, len(scale.Levels))
	for i, l := range scale.Levels {
		grades[i] = l.Grade
	}
	for i, m := range metrics {
		kind, ok := kinds[m.Name]
		if !ok {
			return nil, fmt.Errorf("there is no metric %.40q", m.Name)
		}
		c.measures = append(c.measures, kind.measure)
		t := &c.targets[i]
		t.grades, t.persistence = grades, m.Persistence
		at := 0
		if m.Gains != "" {
			at = slices.IndexFunc(tables, func(g judgments.GainTable) bool { return g.Name == m.Gains })
		}
		if at < 0 || at >= len(tables) {
			return nil, fmt.Errorf("metric %v: there is no gain table %q", m, m.Gains)
		}
		t.gains = tables[at].Gains
		if len(t.gains) != len(scale.Levels) {
			return nil, fmt.Errorf("metric %v: gain table %q has %d gains for a scale of %d levels", m, m.Gains, len(t.gains), len(scale.Levels))
		}
		if m.Name == "err" && grades[len(grades)-1] > 30 {
			return nil, fmt.Errorf("metric %v: the judgements go up to %g; ERR is for steps such as 0 to 4", m, grades[len(grades)-1])
		}
		text := m.Relevant
		if text == "" {
			text = relevant
		}
		var err error
		switch {
		case text == "" && kind.binary:
			return nil, fmt.Errorf("metric %v: no label counts as relevant, since none reaches 1 (say which do with --relevant, such as --relevant '>=0.5')", m)
		case text == "":
			t.relevant = make([]bool, len(scale.Levels))
		default:
			if t.relevant, err = scale.Relevant(text); err != nil {
				return nil, fmt.Errorf("metric %v: %w (%s)", m, err, labelsOf(scale))
			}
		}
	}
	return c, nil
}

// labelsOf says which labels a scale has, worst first; of many, from where to where.
func labelsOf(s judgments.Scale) string {
	bands, _ := s.Bands(mostBands)
	return "the labels are " + strings.Join(bands, ", ")
}

// Query writes the metrics of one ranked list to dst, one for each metric of the
// calculator. It is faster if the lists of one query follow each other.
func (c *Calculator) Query(q *judgments.Query, hits []Hit, dst []float64) {
	c.r.levels, c.r.judgedLevels = c.r.levels[:0], c.r.judgedLevels[:0]
	for _, h := range hits {
		l := int32(q.Level(h.Product))
		c.r.levels = append(c.r.levels, l)
		if l >= 0 {
			c.r.judgedLevels = append(c.r.judgedLevels, l)
		}
	}
	if c.last != q {
		for i := range c.targets {
			c.targets[i].aim(q)
		}
		c.last = q
	}
	for i, m := range c.metrics {
		dst[i] = c.measures[i](&c.r, &c.targets[i], m.K)
	}
}

// aim fills in what t says of query q.
func (t *target) aim(q *judgments.Query) {
	t.R, t.N, t.best = 0, 0, 0
	t.ideal = t.ideal[:0]
	for _, l := range q.Levels {
		if t.relevant[l] {
			t.R++
		} else {
			t.N++
		}
		t.best = max(t.best, t.grades[l])
		t.ideal = append(t.ideal, t.gains[l])
	}
	slices.SortFunc(t.ideal, func(a, b float64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
}

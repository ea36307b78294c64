package bench

import (
	"fmt"
	"math"
	"slices"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/english"
)

// Costs by which a configuration may be the cheapest.
const (
	Median      = "p50-ns"
	VectorBytes = "bytes/vector"
)

// Choice is the cheapest configuration that is not inferior to exact search.
type Choice struct {
	// Margin is the loss of nDCG@10 that is put up with. A configuration is not
	// inferior if the interval of its difference lies above minus Margin: both the 95 %
	// one by bootstrap, and one by the normal distribution that is widened for how many
	// were considered (Bonferroni), since the luckiest of many is picked.
	Margin float64 `json:"margin"`
	Cost   string  `json:"cost"` // the unit that is least
	Exact  Result  `json:"exact"`
	Chosen Result  `json:"chosen"`
	// Considered counts all configurations, Qualified those that are not inferior.
	Considered int `json:"considered"`
	Qualified  int `json:"qualified"`
	// Evidence says it in a sentence.
	Evidence string `json:"evidence"`

	Factory string       `json:"factory"`
	Params  faiss.Params `json:"params"`
	Recall  float64      `json:"recall"` // of the first ten
}

// Choose picks from what Sweep measured with judgements, at the greatest k, since
// that is how deep the engine searches.
func Choose(results []Result, margin float64, cost string) (*Choice, error) {
	if !(margin > 0 && margin < 1) {
		return nil, fmt.Errorf("a loss of nDCG of %v is not within 0..1", margin)
	}
	if cost != Median && cost != VectorBytes {
		return nil, fmt.Errorf("there is no cost %q (there are %s and %s)", cost, Median, VectorBytes)
	}
	deepest := 0
	depth := func(r *Result) (k int) {
		fmt.Sscan(r.Param("k"), &k)
		return k
	}
	for i := range results {
		deepest = max(deepest, depth(&results[i]))
	}
	c := &Choice{Margin: margin, Cost: cost}
	for i := range results {
		if depth(&results[i]) == deepest {
			c.Considered++
		}
	}
	var found []Result
	judged := 0
	for _, r := range results {
		if depth(&r) != deepest {
			continue
		}
		_, timed := r.Metric(Median)
		_, sized := r.Metric(VectorBytes)
		if !timed || !sized {
			return nil, fmt.Errorf("cannot choose: %s was not measured", &r)
		}
		if _, ok := r.Metric(Quality); !ok {
			return nil, fmt.Errorf("cannot choose without judgements: no %s was measured", Quality)
		}
		if r.Against != nil {
			judged = max(judged, r.Against.Queries)
		}
		if r.Param("index") == Exact {
			c.Exact = r
		} else if !c.notInferior(&r) {
			continue
		}
		found = append(found, r)
	}
	if c.Exact.Name == "" {
		return nil, fmt.Errorf("cannot choose: exact search was not measured")
	}
	c.Qualified = len(found)
	c.Chosen = slices.MinFunc(found, func(a, b Result) int {
		for _, unit := range []string{cost, Median, VectorBytes} {
			x, _ := a.Metric(unit)
			y, _ := b.Metric(unit)
			if x != y {
				return map[bool]int{true: -1, false: 1}[x < y]
			}
		}
		return 0
	})
	c.Factory = c.Chosen.Param("index")
	fmt.Sscan(c.Chosen.Param("nprobe"), &c.Params.NProbe)
	fmt.Sscan(c.Chosen.Param("kfactor"), &c.Params.KFactor)
	fmt.Sscan(c.Chosen.Param("ef"), &c.Params.EfSearch)
	c.Recall, _ = c.Chosen.Metric(fmt.Sprintf("recall@%d", first))
	c.Evidence = c.evidence(judged)
	return c, nil
}

// leastQueries is how few queries say nothing: of a handful that happen to agree the
// interval is as narrow as can be.
const leastQueries = 30

func (c *Choice) notInferior(r *Result) bool {
	a := r.Against
	if a == nil || a.Queries < leastQueries || !(float64(a.Low) > -c.Margin) {
		return false
	}
	z := math.Sqrt2 * math.Erfinv(1-.05/float64(c.Considered))
	return float64(a.Difference)-z*r.Deviation/math.Sqrt(float64(a.Queries)) > -c.Margin
}

func (c *Choice) evidence(judged int) string {
	if c.Chosen.Against == nil {
		text := fmt.Sprintf("exact search: of %d configurations none that costs less is shown to lose less than %s %s", c.Considered, eval.Short(c.Margin), Quality)
		if judged < leastQueries {
			text += fmt.Sprintf(" (judgements of %s tell, and it takes %d)", english.Count(judged, "query"), leastQueries)
		}
		return text
	}
	a := c.Chosen.Against
	ratio := func(unit string) string {
		x, _ := c.Exact.Metric(unit)
		y, _ := c.Chosen.Metric(unit)
		return fmt.Sprintf("%.2f", y/x)
	}
	return fmt.Sprintf("%s against exact search, with %s: %s [%s, %s], so not worse by %s, which also holds when corrected for %s; %s times its time, %s times its bytes; the cheapest of %d that qualify",
		Quality, english.Count(a.Queries, "query"), eval.Signed(float64(a.Difference)), eval.Signed(float64(a.Low)), eval.Signed(float64(a.High)), eval.Short(c.Margin), english.Count(c.Considered, "configuration"), ratio(Median), ratio(VectorBytes), c.Qualified)
}

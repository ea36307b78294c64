package bench

import (
	"fmt"
	"slices"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/faiss"
)

// Costs by which a configuration may be the cheapest.
const (
	Median      = "p50-ns"
	VectorBytes = "bytes/vector"
)

// Choice is the cheapest configuration that is not inferior to exact search.
type Choice struct {
	// Margin is the loss of nDCG@10 that is put up with: a configuration is not
	// inferior if the 95 % interval of its difference lies above minus Margin.
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
	var found []Result
	for _, r := range results {
		if depth(&r) != deepest {
			continue
		}
		if _, ok := r.Metric(Quality); !ok {
			return nil, fmt.Errorf("cannot choose without judgements: no %s was measured", Quality)
		}
		c.Considered++
		if r.Param("index") == Exact {
			c.Exact = r
		} else if r.Against == nil || !(float64(r.Against.Low) > -margin) {
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
	c.Evidence = c.evidence()
	return c, nil
}

func (c *Choice) evidence() string {
	if c.Chosen.Against == nil {
		return fmt.Sprintf("exact search: of %d configurations none that costs less is shown to lose less than %s %s", c.Considered, eval.Short(c.Margin), Quality)
	}
	a := c.Chosen.Against
	ratio := func(unit string) string {
		x, _ := c.Exact.Metric(unit)
		y, _ := c.Chosen.Metric(unit)
		return fmt.Sprintf("%.2f", y/x)
	}
	return fmt.Sprintf("%s against exact search, with %d queries: %s [%s, %s], so not worse by %s; %s times its time, %s times its bytes; the cheapest of %d that qualify, of %d",
		Quality, a.Queries, eval.Signed(float64(a.Difference)), eval.Signed(float64(a.Low)), eval.Signed(float64(a.High)), eval.Short(c.Margin), ratio(Median), ratio(VectorBytes), c.Qualified, c.Considered)
}

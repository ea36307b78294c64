package eval

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/trirank/trirank/judgments"
)

// Options of an evaluation. The zero value means the defaults.
type Options struct {
	// Metrics of the full catalogue and PoolMetrics of the judged pool, the first
	// of each deciding.
	Metrics, PoolMetrics []Metric
	// Tables of gains; the first is used where a metric names none.
	Tables []judgments.GainTable
	// Relevant names the labels that count as relevant where a metric does not
	// say: "E" for ESCI, ">=1" for numbers. WithDefaults leaves it empty where no
	// label is that great: then none counts, and metrics that count them are not among
	// the defaults.
	Relevant string
	Seed     uint64
	Draws    int     // of the bootstrap and of the randomisation test
	Tie      float64 // differences below are called a tie
	// Shown is how many queries the report shows in full, half of them the
	// greatest gains and half the greatest losses, and Depth how many hits of
	// each system.
	Shown, Depth int
}

// Bounds of options.
const (
	minDraws, maxDraws = 100, 1_000_000
	defaultShown       = 200
	defaultDepth       = 10
)

// WithDefaults fills in what is not set.
func (o Options) WithDefaults(s judgments.Scale) (Options, error) {
	if len(o.Tables) == 0 {
		o.Tables = s.Tables()
	}
	loose := ""
	if o.Relevant == "" {
		o.Relevant = ">=1"
		if s.Name == "esci" {
			o.Relevant, loose = "E", "[E+S]"
		}
		if _, err := s.Relevant(o.Relevant); errors.Is(err, judgments.ErrNoneRelevant) {
			o.Relevant = ""
		}
	}
	var err error
	fill := func(metrics *[]Metric, names ...string) {
		if len(*metrics) > 0 || err != nil {
			return
		}
		for _, n := range names {
			m, bad := ParseMetric(n)
			if bad != nil {
				err = bad
			}
			if o.Relevant == "" && kinds[m.Name].binary {
				continue
			}
			*metrics = append(*metrics, m)
		}
	}
	full := []string{"ndcg@10", "recall@10", "recall@100", "mrr@10", "map@100", "precision@10", "success@10"}
	pool := []string{"ndcg", "ndcg@10", "map", "mrr@10", "precision@10"}
	if loose != "" {
		full = append(full, "recall"+loose+"@10", "recall"+loose+"@100")
		pool = append(pool, "map"+loose)
	}
	if s.Levels[len(s.Levels)-1].Grade <= 30 {
		full, pool = append(full, "err@10"), append(pool, "err@10")
	}
	full = append(full, "rbp(0.8)", "bpref", "cndcg@10", "ndcglow@10", "ndcghigh@10", "judged@10", "judged@100", "dcg@10")
	pool = append(pool, "rbp(0.8)")
	for _, t := range o.Tables[1:] {
		full, pool = append(full, "ndcg{"+t.Name+"}@10"), append(pool, "ndcg{"+t.Name+"}")
	}
	fill(&o.Metrics, full...)
	fill(&o.PoolMetrics, pool...)
	o.Draws = cmp.Or(o.Draws, DefaultDraws)
	o.Seed = cmp.Or(o.Seed, 1)
	o.Shown, o.Depth = cmp.Or(o.Shown, defaultShown), cmp.Or(o.Depth, defaultDepth)
	o.Tie = cmp.Or(o.Tie, DefaultTie)
	if err == nil {
		err = o.check()
	}
	return o, err
}

// relevant returns which levels count as relevant.
func (o *Options) relevant(s judgments.Scale) ([]bool, error) {
	if o.Relevant == "" {
		return make([]bool, len(s.Levels)), nil
	}
	return s.Relevant(o.Relevant)
}

func (o *Options) check() error {
	switch {
	case o.Draws < minDraws || o.Draws > maxDraws:
		return fmt.Errorf("%d draws are not within %d..%d", o.Draws, minDraws, maxDraws)
	case math.IsNaN(o.Tie) || o.Tie < 0 || o.Tie > 1:
		return fmt.Errorf("a tie below %g is not within 0..1", o.Tie)
	case o.Shown < 0 || o.Depth < 1 || o.Depth > 100:
		return fmt.Errorf("cannot show %d queries with %d hits each (1..100 hits)", o.Shown, o.Depth)
	}
	for _, metrics := range [][]Metric{o.Metrics, o.PoolMetrics} {
		for i, m := range metrics {
			if slices.Contains(metrics[:i], m) {
				return fmt.Errorf("metric %v is given twice", m)
			}
		}
		if metrics[0].Neutral() {
			return fmt.Errorf("metric %v cannot decide: more of it is not better (put another one first)", metrics[0])
		}
	}
	return nil
}

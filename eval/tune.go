package eval

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/trirank/trirank/judgments"
)

// folds of the cross-validation, and the fewest queries that make it worth while.
const (
	folds      = 5
	fewestDev  = 20
	fewestTest = 10
)

// Tuner chooses a fusion by cross-validation. It holds one number for each query
// and setting.
type Tuner struct {
	settings   []string
	metric     Metric
	calculator *Calculator
	options    Options
	dev, test  [][]float64 // [query][setting]
	devIDs     []string
}

// NewTuner prepares to choose among settings, the texts of fusions, by a metric.
func NewTuner(settings []string, metric Metric, scale judgments.Scale, o Options) (*Tuner, error) {
	o, err := o.WithDefaults(scale)
	if err != nil {
		return nil, err
	}
	if len(settings) < 2 {
		return nil, errors.New("cannot tune: there are not two settings to choose from")
	}
	c, err := NewCalculator(scale, []Metric{metric}, o.Tables, o.Relevant)
	return &Tuner{settings: settings, metric: metric, calculator: c, options: o}, err
}

// DevQueries says which queries serve for choosing: those of a split called train
// or dev where there are enough, else half of all, by the hash of their text.
func DevQueries(q *judgments.Set) func(*judgments.Query) bool {
	split := func(q *judgments.Query) bool { return q.Split == "train" || q.Split == "dev" }
	if len(q.Only(split).Queries) >= fewestDev {
		return split
	}
	return func(q *judgments.Query) bool {
		sum := sha256.Sum256([]byte(cmp.Or(judgments.Fold(q.Text), q.ID)))
		return sum[0]%2 == 0
	}
}

// Add takes in a query with the ranking of each setting.
func (t *Tuner) Add(q *judgments.Query, rankings [][]Hit, dev bool) {
	values := make([]float64, len(t.settings))
	for i, hits := range rankings {
		t.calculator.Query(q, hits, values[i:i+1])
	}
	if slices.ContainsFunc(values, math.IsNaN) { // no relevant product: the same for all settings
		return
	}
	if dev {
		t.dev, t.devIDs = append(t.dev, values), append(t.devIDs, q.ID)
	} else {
		t.test = append(t.test, values)
	}
}

// best returns the first setting whose mean over some queries is within tie of the
// highest: settings stand with the plainest first, and a difference that nobody
// would notice is no reason to leave it.
func best(values [][]float64, tie float64, use func(query int) bool) int {
	sums := make([]float64, len(values[0]))
	n := 0.
	for q, row := range values {
		if use(q) {
			n++
			for i, v := range row {
				sums[i] += v
			}
		}
	}
	highest := slices.Max(sums)
	return slices.IndexFunc(sums, func(s float64) bool { return s >= highest-tie*n })
}

// Choose picks the setting that is best on the dev queries, the first of those
// within a tie of each other, and tells by
// cross-validation what such choosing is worth, and on the test queries what the
// choice is worth against the current setting, which must be one of the settings
// or empty; then the choice is compared with the first setting.
func (t *Tuner) Choose(current string) (*FusionTuning, error) {
	if len(t.dev) < fewestDev || len(t.test) < fewestTest {
		return nil, fmt.Errorf("cannot tune the fusion: %d queries for choosing and %d for testing are too few (at least %d and %d)", len(t.dev), len(t.test), fewestDev, fewestTest)
	}
	if current != "" && !slices.Contains(t.settings, current) {
		return nil, fmt.Errorf("cannot tune the fusion: the current one, %.80q, is none of the settings", current)
	}
	out := &FusionTuning{Metric: t.metric.String(), Folds: folds, Dev: len(t.dev), Test: len(t.test), Current: current}
	// Folds by hash of the query's id: which query is in which does not depend on
	// the others.
	fold := make([]int, len(t.dev))
	for i, id := range t.devIDs {
		sum := sha256.Sum256([]byte(id))
		fold[i] = int(binary.BigEndian.Uint64(sum[:8]) % folds)
	}
	var crossed mean
	for f := range folds {
		choice := best(t.dev, t.options.Tie, func(q int) bool { return fold[q] != f })
		for q, row := range t.dev {
			if fold[q] == f {
				crossed.add(row[choice])
			}
		}
	}
	out.CrossValidated = crossed.value()
	for i, s := range t.settings {
		var dev, test mean
		for _, row := range t.dev {
			dev.add(row[i])
		}
		for _, row := range t.test {
			test.add(row[i])
		}
		out.Settings = append(out.Settings, FusionSetting{Fusion: s, Dev: dev.value(), Test: test.value()})
	}
	chosen := best(t.dev, t.options.Tie, func(int) bool { return true })
	out.Chosen = t.settings[chosen]
	against := max(0, slices.Index(t.settings, current))
	names := []string{"the fusion " + cmp.Or(current, t.settings[0]), "the chosen fusion"}
	if against == chosen {
		return out, nil
	}
	table := newTable(names, []Metric{t.metric}, len(t.test))
	for q, row := range t.test {
		table.row(q, 0)[0], table.row(q, 1)[0] = row[against], row[chosen]
	}
	c := table.analyse(t.options).comparisons[0]
	out.Comparison = &c
	return out, nil
}

// Package sweep compares settings of training by folds: each query is ranked by
// models that never saw it, and each setting is compared with the model that all
// began with, query by query.
//
// It makes the settings and folds and the table. Training itself is its caller's.
package sweep

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// Option is a setting's value of something that a grid varies.
type Option struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Setting is one point of a grid.
type Setting []Option

// String writes a setting as "learning-rate=1e-4 temperature=.02".
func (s Setting) String() string {
	if len(s) == 0 {
		return "as given"
	}
	var parts []string
	for _, o := range s {
		parts = append(parts, o.Name+"="+o.Value)
	}
	return strings.Join(parts, " ")
}

// Without is the setting without an option, and that option's value, "" if it has
// none.
func (s Setting) Without(name string) (rest Setting, value string) {
	for _, o := range s {
		if o.Name == name {
			value = o.Value
		} else {
			rest = append(rest, o)
		}
	}
	return rest, value
}

// mostSettings bounds a grid: a mistyped one would train for weeks, and corrected for
// more settings no p-value of 10,000 draws shows anything.
const mostSettings = 200

// Grid returns all combinations of axes, each written as NAME=VALUE,VALUE,... or,
// where values are lists themselves, NAME=VALUE;VALUE;... The last axis varies
// fastest. No axis is one setting: nothing is varied.
func Grid(axes []string) ([]Setting, error) {
	out := []Setting{nil}
	seen := map[string]bool{}
	for _, axis := range axes { // those of lists, parted by semicolons, hold commas
		name, list, ok := strings.Cut(axis, "=")
		if !ok || name == "" || list == "" {
			return nil, fmt.Errorf("%q is no axis of a grid (write learning-rate=1e-4,2e-4)", axis)
		}
		if seen[name] {
			return nil, fmt.Errorf("the grid varies %s twice (write all values after one name)", name)
		}
		seen[name] = true
		comma := ","
		if strings.Contains(list, ";") {
			comma = ";"
		}
		values := strings.Split(list, comma)
		for i, v := range values {
			values[i] = strings.TrimSpace(v)
			if values[i] == "" || slices.Contains(values[:i], values[i]) {
				return nil, fmt.Errorf("%q has an empty or a repeated value", axis)
			}
		}
		var next []Setting
		for _, s := range out {
			for _, v := range values {
				next = append(next, append(slices.Clone(s), Option{name, v}))
			}
		}
		if out = next; len(out) > mostSettings {
			return nil, fmt.Errorf("the grid has more than %d settings", mostSettings)
		}
	}
	return out, nil
}

// Fold says to which of n folds, counted from 0, a query belongs: by its text alone,
// so that more judgements move no query.
func Fold(query string, n int) int {
	sum := sha256.Sum256([]byte("fold\n" + judgments.Fold(query)))
	return int((uint32(sum[0])<<16 | uint32(sum[1])<<8 | uint32(sum[2])) % uint32(n))
}

// Values are metrics by query.
type Values struct {
	Queries []string      `json:"queries"`
	NDCG    []eval.Number `json:"ndcg@10"`
	Recall  []eval.Number `json:"recall@100"`
}

// Check reports values that are not one of each for every query.
func (v *Values) Check() error {
	if len(v.NDCG) != len(v.Queries) || len(v.Recall) != len(v.Queries) {
		return fmt.Errorf("%d and %d values for %d queries", len(v.NDCG), len(v.Recall), len(v.Queries))
	}
	return nil
}

// Add appends what another fold measured.
func (v *Values) Add(more Values) {
	v.Queries = append(v.Queries, more.Queries...)
	v.NDCG = append(v.NDCG, more.NDCG...)
	v.Recall = append(v.Recall, more.Recall...)
}

// Difference is how much better a setting is than the model that all began with, by
// one metric.
type Difference struct {
	Queries int         `json:"queries"` // that have something relevant
	Mean    eval.Number `json:"difference"`
	Low     eval.Number `json:"low"` // paired bootstrap interval of 95 %
	High    eval.Number `json:"high"`
	P       eval.Number `json:"p"`      // paired randomisation test, two-sided
	PHolm   eval.Number `json:"p_holm"` // corrected for the number of settings
}

// Row is a setting in the table, all folds together.
type Row struct {
	Setting  Setting     `json:"setting"`
	NDCG     eval.Number `json:"ndcg@10"`
	Recall   eval.Number `json:"recall@100"`
	ByNDCG   Difference  `json:"ndcg@10_difference"`
	ByRecall Difference  `json:"recall@100_difference"`
	Seconds  float64     `json:"seconds,omitempty"` // of training; 0 where a run was resumed
	Failed   string      `json:"failed,omitempty"`  // why there is nothing else
}

// Table is what a sweep found.
type Table struct {
	Queries int         `json:"queries"` // that have something relevant
	Folds   int         `json:"folds"`
	NDCG    eval.Number `json:"ndcg@10"` // of the model that all began with
	Recall  eval.Number `json:"recall@100"`
	Rows    []Row       `json:"rows"` // in order of the grid
	// Best is the row with the highest nDCG@10. As the best of several it looks
	// better than it is.
	Best int `json:"best"`
}

// Measured is what the folds found of a setting.
type Measured struct {
	Setting Setting
	Values  Values // in the order of the baseline's queries
	Seconds float64
	Failed  string // why it has no values
}

// Compare makes the table. Intervals and p-values are over queries: those of a fold
// share one training, so what another training would give is not in them.
func Compare(baseline Values, settings []Measured, folds int, seed uint64) (*Table, error) {
	t := &Table{Folds: folds, NDCG: mean(baseline.NDCG), Recall: mean(baseline.Recall), Best: -1}
	for _, x := range baseline.NDCG {
		if !math.IsNaN(float64(x)) {
			t.Queries++
		}
	}
	o := eval.Options{Seed: seed}
	var byNDCG, byRecall []eval.Comparison
	for _, m := range settings {
		if m.Failed != "" {
			continue
		}
		if !slices.Equal(m.Values.Queries, baseline.Queries) {
			return nil, errors.New("the folds of a setting are of other queries than those of the baseline")
		}
		byNDCG = append(byNDCG, eval.ComparePaired(floats(baseline.NDCG), floats(m.Values.NDCG), o))
		byRecall = append(byRecall, eval.ComparePaired(floats(baseline.Recall), floats(m.Values.Recall), o))
	}
	eval.Holm(byNDCG)
	eval.Holm(byRecall)
	for _, m := range settings {
		row := Row{Setting: m.Setting, Failed: m.Failed}
		if m.Failed == "" {
			row.NDCG, row.Recall, row.Seconds = mean(m.Values.NDCG), mean(m.Values.Recall), m.Seconds
			row.ByNDCG, row.ByRecall = difference(byNDCG[0]), difference(byRecall[0])
			byNDCG, byRecall = byNDCG[1:], byRecall[1:]
			if t.Best < 0 || row.NDCG > t.Rows[t.Best].NDCG {
				t.Best = len(t.Rows)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func difference(c eval.Comparison) Difference {
	return Difference{c.Queries, c.Difference, c.Low, c.High, c.P, c.PHolm}
}

func floats(list []eval.Number) []float64 {
	out := make([]float64, len(list))
	for i, x := range list {
		out[i] = float64(x)
	}
	return out
}

// mean of what is a number.
func mean(list []eval.Number) eval.Number {
	sum, n := 0., 0.
	for _, x := range list {
		if !math.IsNaN(float64(x)) {
			sum += float64(x)
			n++
		}
	}
	return eval.Number(sum / n)
}

package eval

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// permutations calls do with every order of list.
func permutations(list []string, do func()) {
	var place func(n int)
	place = func(n int) {
		if n <= 1 {
			do()
			return
		}
		for i := range n { // Heap's algorithm
			place(n - 1)
			if n%2 == 0 {
				list[i], list[n-1] = list[n-1], list[i]
			} else {
				list[0], list[n-1] = list[n-1], list[0]
			}
		}
	}
	place(len(list))
}

// TestFloorIsTheMeanOfAllOrders ranks pools in every order there is: the mean of a
// metric must be what the formula says, at all depths and beyond the pool.
func TestFloorIsTheMeanOfAllOrders(t *testing.T) {
	var names []string
	for _, n := range Names() {
		if !kinds[n].needsK {
			names = append(names, n)
		}
		for _, k := range []int{1, 2, 3, 5, 7, 9} {
			names = append(names, fmt.Sprintf("%s@%d", n, k))
		}
	}
	names = append(names, "map[E+S]", "mrr[E+S]@2", "rbp(0.3)", "rbp(0.95)@4", "ndcg{exp}@3", "ndcg{exact}", "recall[E+S]@2")
	formulas := []string{"dcg", "judged", "map", "mrr", "ndcg", "precision", "rbp", "recall", "success"}
	for _, c := range []struct {
		labels   string // of the judged products
		unjudged int
	}{
		{"E", 0}, {"E", 4}, {"I", 2}, {"EE", 0}, {"ES", 1}, {"EESCI", 0}, {"SCI", 2}, {"EESI", 2}, {"EEEEE", 1}, {"EESSCII", 0},
	} {
		var js []judgments.Judgment
		var list []string
		for i, l := range c.labels {
			list = append(list, fmt.Sprint("p", i))
			js = append(js, judgments.Judgment{QueryID: "q", Product: list[i], Label: judgments.Label(string(l))})
		}
		for i := range c.unjudged {
			list = append(list, fmt.Sprint("u", i))
		}
		q := &qrelsOf(t, js).Queries[0]
		calculator := calculatorOf(t, judgments.ESCI(), names...)
		sums, one, orders := make([]float64, len(names)), make([]float64, len(names)), 0.
		permutations(list, func() {
			calculator.Query(q, ranked(list...), one)
			orders++
			for i, v := range one {
				sums[i] += v
			}
		})
		if want := math.Round(math.Gamma(float64(len(list)) + 1)); orders != want {
			t.Fatalf("%g orders of %d products", orders, len(list))
		}
		for i, m := range calculator.metrics {
			got, want := calculator.targets[i].randomly(m, len(list)), sums[i]/orders
			if !slices.Contains(formulas, m.Name) {
				want = math.NaN()
			}
			if !near(got, want) {
				t.Errorf("%v of %s and %d unjudged is %g at random, want %g", m, c.labels, c.unjudged, got, want)
			}
			// The pool must hold all judged products, or the formulas do not hold.
			if v := calculator.targets[i].randomly(m, len(c.labels)-1); !math.IsNaN(v) {
				t.Errorf("%v of a pool too small: %g", m, v)
			}
		}
	}
}

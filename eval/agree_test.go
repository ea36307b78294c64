package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestAgreementByHand(t *testing.T) {
	list := func(s string) []string { return strings.Split(s, "") }
	nan := math.NaN()
	for _, c := range []struct {
		a, b              string
		rbo, overlap, tau float64 // p .9, the first 3
	}{
		{"abc", "abc", 1, 1, 1},
		{"abc", "def", 0, 0, nan},
		{"abc", "cba", .1/.9*(0+.5*.81+1*.729) + 1*.729, 1, -1}, // agreement 0, 1/2, 1 at depths 1, 2, 3
		{"abc", "acb", .1/.9*(.9+.5*.81+1*.729) + .729, 1, 1. / 3},
		{"ab", "ba", .1/.9*(0+1*.81) + .81, 1, -1},
		{"abx", "aby", .1/.9*(.9+.81+2./3*.729) + 2./3*.729, 2. / 3, 1},
		{"abcd", "abce", -1, 1, 1},    // the overlap of the first three does not see the fourth
		{"a", "abc", -1, 1. / 3, nan}, // of the longer list
	} {
		a, b := list(c.a), list(c.b)
		if got := RBO(a, b, .9); c.rbo >= 0 && !near(got, c.rbo) {
			t.Errorf("%s and %s: RBO %g, want %g", c.a, c.b, got, c.rbo)
		}
		if got := Overlap(a, b, 3); !near(got, c.overlap) {
			t.Errorf("%s and %s: overlap %g, want %g", c.a, c.b, got, c.overlap)
		}
		if got := KendallTau(a, b); !near(got, c.tau) {
			t.Errorf("%s and %s: tau %g, want %g", c.a, c.b, got, c.tau)
		}
	}
	if !math.IsNaN(RBO(nil, nil, .9)) || RBO(list("ab"), nil, .9) != 0 || !math.IsNaN(Overlap(nil, nil, 3)) || Overlap(list("ab"), nil, 3) != 0 || !math.IsNaN(KendallTau(nil, nil)) {
		t.Error("lists without hits")
	}
}

// Agreement is the same either way, within its bounds, and tau is what counting all
// pairs gives.
func TestAgreementOfRandomLists(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for range 500 {
		var lists [2][]string
		for i := range lists {
			for p := range 1 + r.IntN(25) {
				if r.IntN(4) > 0 {
					lists[i] = append(lists[i], fmt.Sprint(p))
				}
			}
			r.Shuffle(len(lists[i]), func(x, y int) { lists[i][x], lists[i][y] = lists[i][y], lists[i][x] })
		}
		a, b := lists[0], lists[1]
		rbo, tau := RBO(a, b, .8), KendallTau(a, b)
		if rbo < 0 || rbo > 1+1e-12 || !near(rbo, RBO(b, a, .8)) || !near(tau, KendallTau(b, a)) || !near(Overlap(a, b, 5), Overlap(b, a, 5)) {
			t.Fatalf("%v and %v: RBO %g, tau %g", a, b, rbo, tau)
		}
		agree, pairs := 0, 0
		for i, x := range a {
			for _, y := range a[i+1:] {
				if slices.Contains(b, x) && slices.Contains(b, y) {
					pairs++
					if slices.Index(b, x) < slices.Index(b, y) {
						agree++
					}
				}
			}
		}
		if want := float64(2*agree-pairs) / float64(pairs); !near(tau, want) {
			t.Fatalf("%v and %v: tau %g, want %g", a, b, tau, want)
		}
	}
}

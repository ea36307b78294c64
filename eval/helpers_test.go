package eval

import (
	"iter"
	"math"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// judgmentsOf reads lines of "query product label", the first two without spaces.
func judgmentsOf(lines ...string) (out []judgments.Judgment) {
	for _, l := range lines {
		f := strings.SplitN(l, " ", 3)
		label, err := judgments.ParseLabel(f[2])
		if err != nil {
			panic(err)
		}
		out = append(out, judgments.Judgment{QueryID: f[0], Product: f[1], Label: label})
	}
	return out
}

func qrelsOf(t testing.TB, list []judgments.Judgment) *judgments.Set {
	t.Helper()
	set, _, err := judgments.NewSet(judgments.Of(sequence(list)), judgments.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sequence yields judgements without an error.
func sequence(list []judgments.Judgment) iter.Seq2[judgments.Judgment, error] {
	return func(yield func(judgments.Judgment, error) bool) {
		for _, j := range list {
			if !yield(j, nil) {
				return
			}
		}
	}
}

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*(1+math.Abs(a)+math.Abs(b))
}

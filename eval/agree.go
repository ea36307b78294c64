package eval

import (
	"context"
	"fmt"
	"math"
)

// RBO is the extrapolated rank-biased overlap of two rankings without ties
// (Webber, Moffat and Zobel, 2010, equation 32): 1 if they are equal, 0 if they
// share nothing; p says how far down it looks (.9: ten ranks carry 86 %).
func RBO(a, b []string, p float64) float64 {
	short, long := a, b
	if len(short) > len(long) {
		short, long = long, short
	}
	s, l := len(short), len(long)
	if s == 0 {
		if l == 0 {
			return math.NaN()
		}
		return 0
	}
	inShort, inLong := make(map[string]bool, s), make(map[string]bool, l)
	overlap, sum, weight := 0., 0., 1. // overlap of the first d
	atShort := 0.
	for d := 1; d <= l; d++ {
		x := long[d-1]
		inLong[x] = true
		if d <= s {
			y := short[d-1]
			inShort[y] = true
			switch {
			case x == y:
				overlap++
			default:
				if inShort[x] {
					overlap++
				}
				if inLong[y] {
					overlap++
				}
			}
			if d == s {
				atShort = overlap
			}
		} else if inShort[x] {
			overlap++
		}
		weight *= p
		sum += overlap / float64(d) * weight
		if d > s {
			sum += atShort * float64(d-s) / float64(s*d) * weight
		}
	}
	return (1-p)/p*sum + ((overlap-atShort)/float64(l)+atShort/float64(s))*weight
}

// Overlap is the share of the first k that two rankings have in common.
func Overlap(a, b []string, k int) float64 {
	a, b = cut(a, k), cut(b, k)
	n := max(len(a), len(b))
	if n == 0 {
		return math.NaN()
	}
	in := make(map[string]bool, len(a))
	for _, x := range a {
		in[x] = true
	}
	shared := 0
	for _, x := range b {
		if in[x] {
			shared++
		}
	}
	return float64(shared) / float64(n)
}

// KendallTau is the rank correlation of what two rankings share; it does not exist
// for fewer than two shared products.
func KendallTau(a, b []string) float64 {
	at := make(map[string]int, len(b))
	for i, x := range b {
		at[x] = i
	}
	var ranks []int // in b, in the order of a
	for _, x := range a {
		if i, ok := at[x]; ok {
			ranks = append(ranks, i)
		}
	}
	n := len(ranks)
	if n < 2 {
		return math.NaN()
	}
	pairs := n * (n - 1) / 2
	return float64(pairs-2*inversions(ranks, make([]int, n))) / float64(pairs)
}

// inversions counts the pairs that are out of order while it sorts by merging,
// since runs may be thousands of hits deep; spare is as long as ranks.
func inversions(ranks, spare []int) (n int) {
	if len(ranks) < 2 {
		return 0
	}
	half := len(ranks) / 2
	n = inversions(ranks[:half], spare[:half]) + inversions(ranks[half:], spare[half:])
	copy(spare, ranks)
	a, b := spare[:half], spare[half:]
	for i := range ranks {
		if len(b) == 0 || len(a) > 0 && a[0] < b[0] {
			ranks[i], a = a[0], a[1:]
		} else {
			n += len(a) // all that are left of a stood before b[0]
			ranks[i], b = b[0], b[1:]
		}
	}
	return n
}

// agreementDepth is how far down rankings are compared with each other: with
// p = .9, what follows weighs nothing in RBO.
const agreementDepth = 200

// agreement says how alike every two systems rank.
func (e *evaluation) agreement(context.Context) error {
	if len(e.Full) == 0 {
		return nil
	}
	names := make([][]string, len(e.Full))
	type sums struct{ rbo, overlap, tau mean }
	all := make([]sums, len(e.systems)*len(e.systems))
	for _, q := range e.unseen.Queries {
		for s, run := range e.Full {
			names[s] = names[s][:0]
			names[s] = append(names[s], productsOf(cut(run.Hits[q.ID], agreementDepth))...)
		}
		for a := range names {
			for b := a + 1; b < len(names); b++ {
				s := &all[a*len(names)+b]
				s.rbo.add(RBO(names[a], names[b], .9))
				s.overlap.add(Overlap(names[a], names[b], movedK))
				s.tau.add(KendallTau(names[a], names[b]))
			}
		}
	}
	for a := range e.systems {
		for b := a + 1; b < len(e.systems); b++ {
			s := all[a*len(e.systems)+b]
			e.report.Agreement = append(e.report.Agreement, Agreement{A: e.systems[a], B: e.systems[b], RBO: s.rbo.value(), Overlap: s.overlap.value(), Tau: s.tau.value()})
		}
	}
	if e.unmeasured != "" { // there is no better verdict
		for _, a := range e.report.Agreement {
			if !a.RBO.Exists() {
				e.report.Verdicts = append(e.report.Verdicts, fmt.Sprintf("%s and %s found nothing for any of the queries.", a.A, a.B))
				continue
			}
			e.report.Verdicts = append(e.report.Verdicts, fmt.Sprintf("Of their first %d hits %s and %s share %.0f %% on average (RBO %s over %s).",
				movedK, a.A, a.B, 100*float64(a.Overlap), Short(float64(a.RBO)), queries(len(e.unseen.Queries))))
		}
	}
	return nil
}

func productsOf(hits []Hit) []string {
	out := make([]string, len(hits))
	for i, h := range hits {
		out[i] = h.Product
	}
	return out
}

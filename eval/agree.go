package eval

import "math"

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

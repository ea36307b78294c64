package eval

import "math"

// randomly returns what a metric of a query is on average when the n products of
// a pool, among them all judged ones, stand in random order; NaN where there is no
// simple formula (bpref, ERR, condensed metrics and bounds).
func (t *target) randomly(m Metric, n int) float64 {
	k := n
	if m.K > 0 {
		k = min(k, m.K)
	}
	N, R := float64(n), float64(t.R)
	if n < t.R+t.N || n == 0 {
		return math.NaN() // judged products that are not in the pool
	}
	if kinds[m.Name].binary && t.R == 0 {
		return math.NaN()
	}
	switch m.Name {
	case "ndcg", "dcg":
		// Each place holds the mean gain.
		gain, places := 0., 0.
		for _, g := range t.ideal {
			gain += g
		}
		for i := range k {
			places += discount(i)
		}
		if m.Name == "dcg" {
			return gain / N * places
		}
		ideal := t.idcg(m.K)
		if ideal == 0 {
			return math.NaN()
		}
		return gain / N * places / ideal
	case "recall":
		return float64(k) / N
	case "precision":
		depth := m.K
		if depth == 0 {
			depth = n
		}
		return R / N * float64(k) / float64(depth)
	case "judged":
		return float64(t.R+t.N) / N
	case "rbp":
		return R / N * (1 - math.Pow(t.persistence, float64(k)))
	case "success", "mrr":
		// The first relevant product is at rank i with the probability that the
		// i-1 before are not.
		none, sum := 1., 0.
		for i := range k {
			here := none * min(1, R/(N-float64(i)))
			if m.Name == "mrr" {
				sum += here / float64(i+1)
			} else {
				sum += here
			}
			none -= here
		}
		return sum
	case "map":
		// A relevant product is at rank i with probability R/N, and then each of
		// the i-1 before it with (R-1)/(N-1).
		sum := 0.
		for i := range k {
			before := 0.
			if n > 1 {
				before = float64(i) * (R - 1) / (N - 1)
			}
			sum += (1 + before) / float64(i+1) / N
		}
		return sum
	}
	return math.NaN()
}

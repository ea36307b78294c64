package stats

import (
	"maps"
	"math"
	"slices"
)

// sketch counts numbers by value in bounded memory: as they are while there are
// few different ones, as with ratings; then whole numbers up to maxExact as they
// are, and others by their logarithm, in steps of one percent.
type sketch struct {
	whole    bool
	coarse   bool            // too many values to tell apart
	counts   map[float64]int // by value
	n        int
	sum      float64
	min, max float64
}

const maxExact = 1 << 16

var logStep = math.Log(1.01)

func newSketch(whole bool) *sketch { return &sketch{whole: whole, counts: map[float64]int{}} }

// add counts x, which must not be negative, nor 0 unless numbers are whole.
func (s *sketch) add(x float64) {
	if s.n == 0 {
		s.min, s.max = x, x
	}
	s.n++
	s.sum += x
	s.min, s.max = min(s.min, x), max(s.max, x)
	s.counts[s.near(x)]++
	if len(s.counts) > maxExact && !s.coarse && !s.whole {
		s.coarse = true
		old := s.counts
		s.counts = map[float64]int{}
		for x, n := range old {
			s.counts[s.near(x)] += n
		}
	}
}

// near returns the value that x counts as.
func (s *sketch) near(x float64) float64 {
	switch {
	case s.whole:
		return min(x, maxExact)
	case s.coarse:
		return math.Exp(math.Round(math.Log(x)/logStep) * logStep)
	}
	return x
}

// values returns what was counted, from the least on.
func (s *sketch) values() []float64 { return slices.Sorted(maps.Keys(s.counts)) }

// quantile returns the smallest number that at least the share q of numbers do
// not exceed.
func (s *sketch) quantile(q float64) float64 {
	rest := int(math.Ceil(q * float64(s.n)))
	for _, v := range s.values() {
		if rest -= s.counts[v]; rest <= 0 {
			return min(max(v, s.min), s.max)
		}
	}
	return s.max
}

// distribution returns nil if nothing was counted.
func (s *sketch) distribution(bins []Bin) *Distribution {
	if s.n == 0 {
		return nil
	}
	for _, v := range s.values() {
		i, _ := slices.BinarySearchFunc(bins, v, func(b Bin, v float64) int {
			if b.To <= v {
				return -1
			}
			return 1
		})
		bins[min(i, len(bins)-1)].Count += s.counts[v]
	}
	return &Distribution{
		Count: s.n, Min: round(s.min), Max: round(s.max), Mean: round(s.sum / float64(s.n)),
		P5: round(s.quantile(.05)), P25: round(s.quantile(.25)), P50: round(s.quantile(.5)),
		P75: round(s.quantile(.75)), P95: round(s.quantile(.95)), P99: round(s.quantile(.99)), Bins: bins,
	}
}

// linear returns some 25 bins of equal width up to the 99th percentile; the last
// reaches to the maximum.
func (s *sketch) linear() []Bin {
	if s.n == 0 {
		return nil
	}
	top := s.quantile(.99)
	width := 1.0
	for _, step := range []float64{1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000} {
		if width = step; (top-s.min)/step <= 25 {
			break
		}
	}
	if (s.max-s.min)/width <= 30 {
		top = s.max
	}
	var bins []Bin
	for from := math.Floor(s.min/width) * width; from <= top; from += width {
		bins = append(bins, Bin{From: from, To: from + width})
	}
	if last := &bins[len(bins)-1]; s.max >= last.To {
		bins = append(bins, Bin{From: last.To, To: s.max})
	}
	return bins
}

// logarithmic returns three bins a decade: from 1, 2 and 5.
func (s *sketch) logarithmic() []Bin {
	if s.n == 0 {
		return nil
	}
	var edges []float64
	for e := math.Floor(math.Log10(s.min)); ; e++ {
		for _, m := range []float64{1, 2, 5} {
			edge := round(m * math.Pow(10, e))
			if edge <= s.min { // the bins begin later
				edges = edges[:0]
			}
			edges = append(edges, edge)
			if edge > s.max {
				var bins []Bin
				for i := range len(edges) - 1 {
					bins = append(bins, Bin{From: edges[i], To: edges[i+1]})
				}
				return bins
			}
		}
	}
}

// byRank returns the numbers by rank from the greatest on; of ranks that differ
// by less than two percent, one.
func (s *sketch) byRank() []RankPoint {
	var points []RankPoint
	values := s.values()
	rank := 0
	for i, v := range slices.Backward(values) {
		if rank == 0 {
			points = append(points, RankPoint{1, round(s.max)})
		}
		rank += s.counts[v] // the last rank that has the value
		if kept := points[len(points)-1].Rank; i == 0 && rank > kept || float64(rank) >= 1.02*float64(kept) && rank > 1 {
			points = append(points, RankPoint{rank, round(min(max(v, s.min), s.max))})
		}
	}
	return points
}

// round keeps six digits, so that reports do not differ in the last bit between
// machines.
func round(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	if math.IsInf(scale, 0) || scale == 0 {
		return x
	}
	return math.Round(x*scale) / scale
}

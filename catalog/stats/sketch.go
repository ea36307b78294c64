package stats

import (
	"math"
	"slices"
)

// sketch counts numbers by value in bounded memory: whole numbers up to
// maxExact as they are, and other numbers by their logarithm, in steps of one
// percent.
type sketch struct {
	whole    bool
	counts   map[int]int
	n        int
	sum      float64
	min, max float64
}

const maxExact = 1 << 16

var logStep = math.Log(1.01)

func newSketch(whole bool) *sketch { return &sketch{whole: whole, counts: map[int]int{}} }

// add counts x, which must not be negative, nor 0 unless numbers are whole.
func (s *sketch) add(x float64) {
	if s.n == 0 {
		s.min, s.max = x, x
	}
	s.n++
	s.sum += x
	s.min, s.max = min(s.min, x), max(s.max, x)
	if s.whole {
		s.counts[min(int(x), maxExact)]++
	} else {
		s.counts[int(math.Round(math.Log(x)/logStep))]++
	}
}

func (s *sketch) value(key int) float64 {
	if s.whole {
		return float64(key)
	}
	return min(max(math.Exp(float64(key)*logStep), s.min), s.max)
}

func (s *sketch) keys() []int {
	keys := make([]int, 0, len(s.counts))
	for k := range s.counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// quantile returns the smallest number that at least the share q of numbers do
// not exceed.
func (s *sketch) quantile(q float64) float64 {
	rest := int(math.Ceil(q * float64(s.n)))
	for _, k := range s.keys() {
		if rest -= s.counts[k]; rest <= 0 {
			return s.value(k)
		}
	}
	return s.max
}

// distribution returns nil if nothing was counted.
func (s *sketch) distribution(bins []Bin) *Distribution {
	if s.n == 0 {
		return nil
	}
	for _, k := range s.keys() {
		v := s.value(k)
		i, _ := slices.BinarySearchFunc(bins, v, func(b Bin, v float64) int {
			if b.To <= v {
				return -1
			}
			return 1
		})
		bins[min(i, len(bins)-1)].Count += s.counts[k]
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

// byRank returns the numbers by rank from the greatest on, at most one a step of
// one percent.
func (s *sketch) byRank() []RankPoint {
	var points []RankPoint
	rank := 0
	keys := s.keys()
	for _, k := range slices.Backward(keys) {
		// The point is the last rank that has the value.
		rank += s.counts[k]
		points = append(points, RankPoint{rank, round(s.value(k))})
	}
	if len(points) > 0 && points[0].Rank > 1 {
		points = slices.Insert(points, 0, RankPoint{1, round(s.max)})
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

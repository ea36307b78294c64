package engine

import "math"

// Distribution describes the scores that a ranking gives to the products of a
// catalogue for one query.
type Distribution struct {
	// Scope says which products were scored: "catalogue", or "sample" (the
	// same evenly spaced rows for every query) in a large catalogue.
	Scope    string `json:"scope"`
	Products int    `json:"products"` // scored
	// Zeros counts the products whose score is exactly 0: for BM25, those
	// without any query term. They are left out of all that follows, which
	// would otherwise only describe how many there are.
	Zeros     int        `json:"zeros,omitempty"`
	Histogram *Histogram `json:"histogram,omitempty"` // absent if all are 0
	Mean      float64    `json:"mean"`
	Deviation float64    `json:"deviation"` // standard deviation; with Mean, the fitted normal
	Skewness  float64    `json:"skewness"`  // 0 for a normal distribution
	Kurtosis  float64    `json:"kurtosis"`  // excess: 0 for a normal distribution
	// Normality is D'Agostino and Pearson's test of the two; absent for fewer
	// than 20 scores or where all are equal.
	Normality *Normality `json:"normality,omitempty"`
}

// Histogram counts scores in bins of equal width; the last includes Max.
type Histogram struct {
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Counts []int   `json:"counts"`
}

// Normality is the result of a test whose null hypothesis is that scores are
// normally distributed.
type Normality struct {
	Test      string  `json:"test"`
	Statistic float64 `json:"statistic"`
	P         float64 `json:"p"`
}

// histogramBins is enough to see a shape and few enough to draw in a column.
const histogramBins = 48

// Describe summarises scores; it changes their order. Moments are the population's;
// the test is D'Agostino and Pearson's K² (Biometrika 1973), as
// scipy.stats.normaltest computes it.
func Describe(scores []float64) *Distribution {
	d := &Distribution{Products: len(scores)}
	kept := scores[:0]
	for _, s := range scores {
		if s != 0 {
			kept = append(kept, s)
		}
	}
	d.Zeros = len(scores) - len(kept)
	if len(kept) == 0 {
		return d
	}
	n := float64(len(kept))
	h := &Histogram{Min: kept[0], Max: kept[0], Counts: make([]int, histogramBins)}
	for _, s := range kept {
		d.Mean += s / n
		h.Min, h.Max = min(h.Min, s), max(h.Max, s)
	}
	d.Histogram = h
	var m2, m3, m4 float64
	for _, s := range kept {
		x := s - d.Mean
		m2 += x * x / n
		m3 += x * x * x / n
		m4 += x * x * x * x / n
		bin := 0
		if h.Max > h.Min {
			bin = min(int((s-h.Min)/(h.Max-h.Min)*histogramBins), histogramBins-1)
		}
		h.Counts[bin]++
	}
	d.Deviation = math.Sqrt(m2)
	if m2 <= 1e-20*d.Mean*d.Mean { // all equal, but for rounding
		return d
	}
	d.Skewness = m3 / math.Pow(m2, 1.5)
	d.Kurtosis = m4/(m2*m2) - 3
	if len(kept) >= 20 {
		k2 := sq(skewZ(d.Skewness, n)) + sq(kurtosisZ(d.Kurtosis+3, n))
		d.Normality = &Normality{Test: "D'Agostino-Pearson K²", Statistic: k2, P: math.Exp(-k2 / 2)} // chi-squared with 2 degrees of freedom
	}
	return d
}

func sq(x float64) float64 { return x * x }

// skewZ turns the skewness of n values into a standard normal variable
// (D'Agostino, Biometrika 1970).
func skewZ(skew, n float64) float64 {
	y := skew * math.Sqrt((n+1)*(n+3)/(6*(n-2)))
	beta2 := 3 * (n*n + 27*n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
	w2 := -1 + math.Sqrt(2*(beta2-1))
	delta := 1 / math.Sqrt(.5*math.Log(w2))
	alpha := math.Sqrt(2 / (w2 - 1))
	return delta * math.Asinh(y/alpha)
}

// kurtosisZ does so for the kurtosis, 3 for normal values (Anscombe and Glynn,
// Biometrika 1983).
func kurtosisZ(b2, n float64) float64 {
	e := 3 * (n - 1) / (n + 1)
	variance := 24 * n * (n - 2) * (n - 3) / ((n + 1) * (n + 1) * (n + 3) * (n + 5))
	x := (b2 - e) / math.Sqrt(variance)
	beta1 := 6 * (n*n - 5*n + 2) / ((n + 7) * (n + 9)) * math.Sqrt(6*(n+3)*(n+5)/(n*(n-2)*(n-3)))
	a := 6 + 8/beta1*(2/beta1+math.Sqrt(1+4/(beta1*beta1)))
	t := 1 - 2/(9*a)
	denominator := 1 + x*math.Sqrt(2/(a-4))
	root := math.Copysign(math.Cbrt((1-2/a)/math.Abs(denominator)), denominator)
	return (t - root) / math.Sqrt(2/(9*a))
}

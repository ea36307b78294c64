package engine

import (
	"math"
	"testing"
)

// TestDescribe compares with numpy's mean and std and scipy.stats's skew,
// kurtosis and normaltest.
func TestDescribe(t *testing.T) {
	series := func(n int, f func(i int) float64) (out []float64) {
		for i := range n {
			out = append(out, f(i))
		}
		return out
	}
	for _, c := range []struct {
		name                 string
		values               []float64
		mean, sd, skew, kurt float64
		k2, p                float64
	}{
		{"sine", series(200, func(i int) float64 { return 1 + math.Sin(float64((i+1)*(i+1))*.7) }), 0.999677872346796, 0.685187176692326, 0.022474393323484693, -1.417686506779365, 571.0703746382693, 9.854707946636502e-125},
		{"exponential", series(300, func(i int) float64 { return math.Exp(float64((i+1)*37%101) / 20) }), 30.13787305598773, 37.472237499207615, 1.526277228374811, 1.3642770355927993, 79.77180509316862, 4.761816091510525e-18},
		{"small", series(20, func(i int) float64 { return float64(i*7%23) + 1.5 }), 12.8, 6.708949247087803, -0.032903952035475525, -1.2107164612904653, 2.9667620306664673, 0.22686934149719895},
	} {
		d := Describe(c.values)
		near := func(what string, got, want float64) {
			if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
				t.Errorf("%s: %s is %v, want %v", c.name, what, got, want)
			}
		}
		near("mean", d.Mean, c.mean)
		near("deviation", d.Deviation, c.sd)
		near("skewness", d.Skewness, c.skew)
		near("kurtosis", d.Kurtosis, c.kurt)
		near("K²", d.Normality.Statistic, c.k2)
		if got := d.Normality.P; math.Abs(got/c.p-1) > 1e-6 {
			t.Errorf("%s: p is %v, want %v", c.name, got, c.p)
		}
		total := 0
		for _, n := range d.Histogram.Counts {
			total += n
		}
		if total != len(c.values) || d.Products != total {
			t.Errorf("%s: the histogram counts %d of %d", c.name, total, len(c.values))
		}
	}
}

func TestDescribeEdges(t *testing.T) {
	if d := Describe(make([]float64, 5)); d.Zeros != 5 || d.Histogram != nil || d.Normality != nil {
		t.Errorf("all zeros: %+v", d)
	}
	equal := make([]float64, 30)
	for i := range equal {
		equal[i] = .3
	}
	if d := Describe(equal); d.Normality != nil || d.Histogram.Counts[0] != 30 {
		t.Errorf("all equal: %+v", d)
	}
	if d := Describe(nil); d.Products != 0 {
		t.Errorf("nothing: %+v", d)
	}
}

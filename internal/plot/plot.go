// Package plot holds what the plots of different reports have in common.
package plot

import "math"

// Step returns the distance of ticks on an axis from low to high: 1, 2 or 5 times a
// power of ten, the greatest that makes about three of them at least.
func Step(low, high float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/3)))
	for _, f := range []float64{5, 2} {
		if (high-low)/(step*f) >= 3 {
			return step * f
		}
	}
	return step
}

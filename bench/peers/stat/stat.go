// Package stat has the three figures by which a set of measurements is told: median,
// range and percentile. It knows nothing of what was measured, and stands beside the
// line request -> run -> step -> journal -> event -> client.
package stat

import "slices"

// Percentile returns the value below which the share p of sorted lies, by nearest rank
// from below; 0 for an empty set.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(p*float64(len(sorted)-1))]
}

// Spread is the median, the lowest and the highest of some values.
type Spread struct{ Median, Low, High float64 }

// Of returns the spread of values; of an even number the median is the mean of the
// middle two. The zero Spread stands for no values.
func Of(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Low: v[0], High: v[n-1]}
}

package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Confidence is the level of Interval.
const Confidence = 0.95

// resamples of a bootstrap. More would not change the printed digits.
const resamples = 2000

// Median is the middle sample, or the mean of the two in the middle; NaN of nothing.
func Median(samples []float64) float64 {
	n := len(samples)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	return middle(sorted)
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}

// Interval is the percentile bootstrap of the median at level Confidence. Of fewer
// than three samples it is their range.
func Interval(samples []float64) (low, high float64) {
	n := len(samples)
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	low, high = slices.Min(samples), slices.Max(samples)
	if n < 3 || low == high {
		return low, high
	}
	random := rand.New(rand.NewPCG(uint64(n), 20))
	medians := make([]float64, resamples)
	again := make([]float64, n)
	for i := range medians {
		for j := range again {
			again[j] = samples[random.IntN(n)]
		}
		slices.Sort(again)
		medians[i] = middle(again)
	}
	slices.Sort(medians)
	tail := (1 - Confidence) / 2
	return medians[int(tail*resamples)], medians[int((1-tail)*resamples)-1]
}

// Spread is half the interval's width as a part of the median: 0.03 is read as ±3 %.
func Spread(median, low, high float64) float64 {
	if low == high {
		return 0
	}
	return (high - low) / 2 / math.Abs(median)
}

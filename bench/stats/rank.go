package stats

import (
	"math"
	"slices"
)

// MannWhitney is the two-sided p-value of the hypothesis that two sets of samples come
// from one distribution. It is exact without ties up to 50 samples a side, and the
// normal approximation with corrections for ties and continuity otherwise. With fewer
// than two samples on a side it is 1.
func MannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n < 2 || m < 2 {
		return 1
	}
	u, ties := statistic(a, b)
	if ties == 0 && n <= 50 && m <= 50 {
		return exact(n, m, u)
	}
	return approximate(n, m, u, ties)
}

// statistic is U of a, and the sum of t³-t over groups of t equal samples.
func statistic(a, b []float64) (u, ties float64) {
	type sample struct {
		value float64
		ofA   bool
	}
	all := make([]sample, 0, len(a)+len(b))
	for _, v := range a {
		all = append(all, sample{v, true})
	}
	for _, v := range b {
		all = append(all, sample{v, false})
	}
	slices.SortFunc(all, func(x, y sample) int {
		switch {
		case x.value < y.value:
			return -1
		case x.value > y.value:
			return 1
		}
		return 0
	})
	var ranks float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].value == all[i].value {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		rank := float64(i+1+j) / 2
		for ; i < j; i++ {
			if all[i].ofA {
				ranks += rank
			}
		}
	}
	n := float64(len(a))
	return ranks - n*(n+1)/2, ties
}

// exact counts the orders of n and m samples that have a U as far from the middle.
func exact(n, m int, u float64) float64 {
	// ways[i][k] is in how many orders i samples of the one side, among those of the
	// other side seen so far, have U = k.
	ways := make([][]float64, n+1)
	for i := range ways {
		ways[i] = make([]float64, n*m+1)
	}
	ways[0][0] = 1
	// The recurrence f(n, m, u) = f(n-1, m, u-m) + f(n, m-1, u), column by column.
	for i := range n + 1 {
		ways[i][0] = 1
	}
	for j := 1; j <= m; j++ {
		for i := 1; i <= n; i++ {
			for k := n * m; k >= 0; k-- {
				if k >= j {
					// ways[i-1] already holds column j, ways[i] still column j-1.
					ways[i][k] += ways[i-1][k-j]
				}
			}
		}
	}
	low := math.Min(u, float64(n*m)-u)
	var tail, total float64
	for k, w := range ways[n] {
		total += w
		if float64(k) <= low {
			tail += w
		}
	}
	return math.Min(1, 2*tail/total)
}

func approximate(n, m int, u, ties float64) float64 {
	a, b := float64(n), float64(m)
	all := a + b
	variance := a * b / 12 * ((all + 1) - ties/(all*(all-1)))
	if variance <= 0 {
		return 1 // all samples are equal
	}
	z := math.Max(0, math.Abs(u-a*b/2)-0.5) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}

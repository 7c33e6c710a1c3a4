package stats

import "math"

// Verdict is what a comparison comes to.
type Verdict string

// The verdicts.
const (
	Different Verdict = "different"
	Same      Verdict = "no difference"
	Noisy     Verdict = "too noisy to tell"
	Few       Verdict = "too few samples to tell"
)

const (
	// Alpha is the p-value below which samples are called different. Five samples a
	// side reach it only when all of one side lie below all of the other.
	Alpha = 0.01
	// Least is the part by which medians must differ to be called different: less is
	// of no interest, and of a clock's resolution.
	Least = 0.02
	// Wide is the spread of an interval, or the distance of two medians, above which
	// "no difference" would claim too much.
	Wide = 0.10
)

// A Comparison of new samples with old ones.
type Comparison struct {
	Ratio   float64 // of the medians, new by old
	P       float64
	Verdict Verdict
}

// Compare tells whether two sets of samples differ.
func Compare(old, now []float64) Comparison {
	a, b := Median(old), Median(now)
	c := Comparison{Ratio: b / a, P: MannWhitney(old, now)}
	if a == b {
		c.Ratio = 1
	}
	switch {
	case tooFew(len(old), len(now)):
		c.Verdict = Few
	case c.P < Alpha && math.Abs(a-b) > Least*math.Max(math.Abs(a), math.Abs(b)):
		c.Verdict = Different
	case wide(old) || wide(now) || math.Abs(a-b) > Wide*math.Max(math.Abs(a), math.Abs(b)):
		c.Verdict = Noisy
	default:
		c.Verdict = Same
	}
	return c
}

func wide(samples []float64) bool {
	low, high := Interval(samples)
	return Spread(Median(samples), low, high) > Wide
}

// tooFew tells whether no order of so many samples could have a p-value below Alpha.
func tooFew(n, m int) bool {
	if n < 2 || m < 2 {
		return true
	}
	orders := 1.0 // n+m over n
	for i := 1; i <= n; i++ {
		orders *= float64(m+i) / float64(i)
	}
	return 2/orders >= Alpha
}

package report

import "math"

// An axis maps numbers to places on a page, logarithmically: what is measured here
// spans decades.
type axis struct {
	low, high float64 // of the numbers
	from, to  float64 // of the page
	ticks     []tick
}

// A tick is a labelled place on an axis.
type tick struct {
	At    float64
	Label string
}

// newAxis makes an axis for positive numbers that are printed in a unit.
func newAxis(low, high, from, to float64, unit string) axis {
	if !(low > 0) || math.IsInf(low, 0) {
		low = 1
	}
	if high < low || math.IsInf(high, 0) {
		high = low
	}
	a := axis{low: low / 1.15, high: high * 1.15, from: from, to: to}
	for _, v := range ticksOf(a.low, a.high, unit) {
		a.ticks = append(a.ticks, tick{a.place(v), quantity(v, unit)})
	}
	return a
}

// place is where a number lies. What is not above the axis' lowest lies at its foot.
func (a axis) place(v float64) float64 {
	v = math.Min(math.Max(v, a.low), a.high)
	if a.high == a.low {
		return (a.from + a.to) / 2
	}
	part := math.Log(v/a.low) / math.Log(a.high/a.low)
	return round(a.from + part*(a.to-a.from))
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// mostTicks keeps labels apart.
const mostTicks = 6

// ticksOf are round numbers between two others: powers of two for bytes, one, two and
// five of each decade otherwise, or fewer when there would be too many.
func ticksOf(low, high float64, unit string) []float64 {
	if unit == "B" || unit == "B/s" {
		for _, step := range []float64{1, 2, 4, 5, 10, 20, 40} {
			if ticks := powers(low, high, math.Exp2(step)); len(ticks) <= mostTicks {
				return ticks
			}
		}
		return nil
	}
	for _, steps := range [][]float64{{1, 1.5, 2, 3, 4, 5, 6, 8}, {1, 2, 5}} {
		var all []float64
		for decade := math.Floor(math.Log10(low)); decade <= math.Log10(high); decade++ {
			for _, m := range steps {
				if v := m * math.Pow(10, decade); v >= low && v <= high {
					all = append(all, v)
				}
			}
		}
		if len(all) <= mostTicks {
			return all
		}
	}
	for step := 10.0; ; step *= 10 {
		if ticks := powers(low, high, step); len(ticks) <= mostTicks {
			return ticks
		}
	}
}

// powers are those of a base between two numbers.
func powers(low, high, base float64) (all []float64) {
	for e := math.Ceil(math.Log(low)/math.Log(base) - 1e-9); ; e++ {
		v := math.Pow(base, e)
		if v > high {
			return all
		}
		all = append(all, v)
	}
}

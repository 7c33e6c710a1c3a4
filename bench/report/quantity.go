package report

import (
	"fmt"
	"math"

	"github.com/veneerdm/veneer/bench"
)

// step is a unit that numbers are shown in.
type step struct {
	factor float64
	unit   string
}

var steps = map[string][]step{
	"s":    {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}},
	"B":    {{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}},
	"B/s":  {{1 << 40, "TiB/s"}, {1 << 30, "GiB/s"}, {1 << 20, "MiB/s"}, {1 << 10, "KiB/s"}, {1, "B/s"}},
	"op/s": {{1e6, "M/s"}, {1e3, "k/s"}, {1, "/s"}},
	"":     {{1, ""}},
}

// quantity prints a number with three significant digits in the unit that suits it.
func quantity(v float64, unit string) string {
	if v == 0 {
		return "0"
	}
	all, ok := steps[unit]
	if !ok {
		all = []step{{1, unit}}
	}
	chosen := all[len(all)-1]
	for _, s := range all {
		if math.Abs(v) >= s.factor*0.9995 {
			chosen = s
			break
		}
	}
	text := digits(v / chosen.factor)
	if chosen.unit == "" {
		return text
	}
	return text + " " + chosen.unit
}

// digits prints three significant digits and no needless zeros.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a == math.Trunc(a) && a < 1e4:
		return fmt.Sprintf("%.0f", v)
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// percent prints a spread.
func percent(p float64) string {
	switch {
	case math.IsNaN(p) || math.IsInf(p, 0) || p > 9.99:
		return "±∞"
	case p < 0.005:
		return "±0%"
	}
	return fmt.Sprintf("±%.0f%%", p*100)
}

// value prints a median and its spread.
func value(s bench.Samples, unit string) string {
	text := quantity(s.Median, unit)
	if s.Low == s.High {
		return text
	}
	return text + " " + percent(s.Spread())
}

// times prints a factor.
func times(f float64) string {
	if math.IsInf(f, 0) || f > 1e6 {
		return "∞ x"
	}
	return digits(f) + " x"
}

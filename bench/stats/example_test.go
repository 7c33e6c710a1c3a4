package stats_test

import (
	"fmt"

	"github.com/veneerdm/veneer/bench/stats"
)

func Example() {
	before := []float64{10.1, 10.3, 9.9, 10.0, 10.2, 10.1}
	after := []float64{8.0, 8.1, 7.9, 8.2, 8.0, 7.8}
	c := stats.Compare(before, after)
	fmt.Printf("%.2f times as long, p = %.3f: %s\n", c.Ratio, c.P, c.Verdict)
	// Output: 0.79 times as long, p = 0.005: different
}

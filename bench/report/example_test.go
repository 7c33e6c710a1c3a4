package report_test

import (
	"fmt"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/report"
)

func Example() {
	r := made(1)
	for _, row := range r.Rows("first-write", bench.Written) {
		fmt.Println(row.Case, "-", report.Verdict(row))
	}
	// Output:
	// 4 KiB - overlay 1.43 x less
	// 64 KiB - thin 1.20 x less
	// 1 MiB - thin 9.20 x less
	// 16 MiB - thin 137 x less
}

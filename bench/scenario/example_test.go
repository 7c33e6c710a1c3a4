package scenario_test

import (
	"fmt"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/scenario"
)

func Example() {
	s, err := scenario.Find("first-write")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Summary().Question)
	for _, c := range s.Cases(bench.Quick) {
		fmt.Println(c.Name)
	}
	// Output:
	// What does it cost to change 4 KiB of a file that came with the image?
	// 4 KiB
	// 64 KiB
	// 1 MiB
	// 16 MiB
	// 64 MiB
}

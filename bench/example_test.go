package bench_test

import (
	"context"
	"fmt"
	"os"

	"github.com/veneerdm/veneer/bench"
)

func Example() {
	dir, err := os.MkdirTemp("", "bench-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	p := plan(dir, []paper{{name: "block"}, {name: "file"}}, asks{name: "first-write", cases: []bench.Case{write(4096)}})
	r, err := bench.Run(context.Background(), p)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range r.Rows("first-write", bench.Written) {
		fmt.Println(row.Case, row.Verdict)
	}
	// Output: write 4096 no difference
}

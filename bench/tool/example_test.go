package tool_test

import (
	"fmt"

	"github.com/veneerdm/veneer/bench/tool"
)

func Example() {
	fmt.Println(tool.Fio.Name, "is in the package", tool.Fio.Package)
	// Output: fio is in the package fio
}

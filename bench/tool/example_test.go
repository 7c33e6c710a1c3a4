package tool_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/bench/tool"
)

func Example() {
	nowhere := tool.Tool{Program: "mkfs.nothing", Package: "nothing-progs"}
	_, err := nowhere.Run(context.Background(), "", "/dev/null")
	fmt.Println(err)
	fmt.Println(errors.Is(err, tool.ErrMissing))
	// Output:
	// mkfs.nothing is not installed: install the package nothing-progs
	// true
}

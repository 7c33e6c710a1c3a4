package command_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/internal/command"
)

func Example() {
	ctx := context.Background()
	out, err := command.Run(ctx, "sh", "-c", "echo done; echo 'bad magic' >&2; exit 3")
	fmt.Print(out)
	fmt.Println(err)
	if failed, ok := errors.AsType[*command.Error](err); ok {
		fmt.Println(failed.Status, failed.Said)
	}
	_, err = command.Program{Name: "mkfs.nothing", Package: "nothing-progs"}.Run(ctx, "/dev/null")
	fmt.Println(err, errors.Is(err, command.ErrNotInstalled))
	// Output:
	// done
	// sh: exit status 3: bad magic
	// 3 bad magic
	// mkfs.nothing is not installed: install the package nothing-progs true
}

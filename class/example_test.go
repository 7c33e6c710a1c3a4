package class_test

import (
	"fmt"
	"syscall"

	"github.com/veneerdm/veneer/class"
)

func ExampleOf() {
	err := fmt.Errorf("write to the pool: %w", syscall.ENOSPC)
	c := class.Of(err)
	fmt.Println(c, c.Exit(), c.Code())
	// Output: pool out of space 5 ResourceExhausted
}

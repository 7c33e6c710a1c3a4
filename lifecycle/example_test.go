package lifecycle_test

import (
	"fmt"

	"github.com/veneerdm/veneer/lifecycle"
)

func ExampleDecide() {
	// A process died between create_snap and the load of the device's table.
	o := lifecycle.Observed{State: lifecycle.Creating, InPool: true, Device: lifecycle.NoTable}
	fmt.Println(o)
	fmt.Println(lifecycle.Decide(o).Cure())
	// Output:
	// creating, the pool has it, its device is without table
	// remove the device, then keep it: it was made in full
}

package metamorphic_test

import (
	"os"
	"testing"

	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/resulttest"
)

// The same lives on the real kernel.
func TestLivesOnTheKernel(t *testing.T) {
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	row, end := resulttest.Begin(t, "random lives on the kernel", *seed)
	defer end()
	for n := range *lives {
		goroutines := 1 + 2*(n%2)
		all := makeLives(*seed+uint64(n), goroutines, 40)
		wrong := play(t, snapstest.NewReal(t, "ext4"), all)
		row.Points += operations(all)
		if wrong != "" {
			row.Violations++
		}
		judge(t, all, wrong, func(l lived) bool { return play(t, snapstest.NewReal(t, "ext4"), l) != "" })
	}
}

func TestCrossingLivesOnTheKernel(t *testing.T) {
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	const goroutines, length = 4, 40
	row, end := resulttest.Begin(t, "crossing lives on the kernel", *seed)
	defer end()
	for n := range *lives {
		cross(t, snapstest.NewReal(t, "ext4"), *seed+uint64(n), goroutines, length)
		row.Points += goroutines * length
	}
}

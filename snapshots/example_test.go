package snapshots_test

import (
	"context"
	"fmt"
	"os"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	machine := snapstest.NewFakeAt(dir) // a real one: snapshots.Config{Root: "/var/lib/veneer"}
	driver, err := snapshots.CreatePool(ctx, machine.Config(), machine.Options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = driver.Close() }()

	mount, err := driver.Prepare(ctx, "unpack", "")
	fmt.Println(mount.Type, mount.Source, err)
	fmt.Println(driver.Commit(ctx, "layer", "unpack"))
	mount, err = driver.Prepare(ctx, "container", "layer")
	fmt.Println(mount.Type, mount.Source, err)
	fmt.Println(driver.Remove(ctx, "layer"))
	// Output:
	// ext4 /dev/mapper/fake-thin-1 <nil>
	// <nil>
	// ext4 /dev/mapper/fake-thin-2 <nil>
	// remove "layer": in use: snapshot "layer" has children
}

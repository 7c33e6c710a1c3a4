package proxy_test

import (
	"context"
	"fmt"
	"os"

	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
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
	var s csnapshots.Snapshotter = proxy.New(driver)
	defer func() { _ = s.Close() }()
	mounts, err := s.Prepare(ctx, "unpack", "")
	fmt.Println(mounts, err)
	_, err = s.Stat(ctx, "nobody")
	fmt.Println(errdefs.IsNotFound(err))
	// Output:
	// [{ext4 /dev/mapper/fake-thin-1  [errors=remount-ro]}] <nil>
	// true
}

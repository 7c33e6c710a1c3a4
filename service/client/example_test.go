package client_test

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/service/client"
	"github.com/veneerdm/veneer/snapshots"
)

func Example() {
	ctx := context.Background()
	c, err := client.Dial(ctx, "/run/veneer/veneer.sock", "v1.0")
	if err != nil {
		fmt.Println("no daemon is running")
		return
	}
	defer func() { _ = c.Close() }()
	mount, err := c.Prepare(ctx, "container", "layer", snapshots.WithSize(20<<30))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mount.Type, mount.Source)
}

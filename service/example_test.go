package service_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/service"
	"github.com/veneerdm/veneer/service/client"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	machine := snapstest.NewFakeAt(dir) // a real one: snapshots.Config{Root: "/var/lib/veneer"}
	driver, err := snapshots.CreatePool(ctx, machine.Config(), machine.Options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = driver.Close() }()

	// The daemon.
	listener, err := service.Listen(filepath.Join(dir, "veneer.sock"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := service.NewServer(nil, nil)
	service.Register(server, service.Config{Driver: driver, Version: "v1.0"})
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, listener) }()

	// Another program.
	c, err := client.Dial(ctx, filepath.Join(dir, "veneer.sock"), "v1.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Prepare(ctx, "work", "")
	fmt.Println(err)
	_, err = c.Stat(ctx, "nobody")
	fmt.Println(err)
	fmt.Println(c.Close())
	stop()
	fmt.Println(<-ended)
	// Output:
	// <nil>
	// stat "nobody": not found: snapshot "nobody"
	// <nil>
	// <nil>
}

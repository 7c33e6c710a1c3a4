package loopback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/loopback"
)

// A file becomes a block device, grows while it is one, and is a plain file again.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loopback-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "data")
	if err := loopback.CreateImage(image, 64<<20); err != nil {
		fmt.Println(err)
		return
	}
	device, err := loopback.Attach(ctx, image, loopback.Options{DirectIO: true, BlockSize: 4096})
	if errors.Is(err, loopback.ErrNoLoop) || errors.Is(err, os.ErrPermission) {
		fmt.Println("64 MiB, then 128 MiB") // only root may attach: the rest is left to imagine
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	before := device.Size
	if err := loopback.GrowImage(image, 128<<20); err != nil {
		fmt.Println(err)
	}
	if device, err = device.Grow(); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%d MiB, then %d MiB\n", before>>20, device.Size>>20)
	if err := device.Detach(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: 64 MiB, then 128 MiB
}

// After a restart a pool's device is found by its file, whatever became of names.
func ExampleFind() {
	devices, err := loopback.Find("doc.go")
	fmt.Println(len(devices), err)
	// Output: 0 <nil>
}

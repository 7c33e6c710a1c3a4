package filesystem_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/snapshots/filesystem"
)

func Example() {
	fmt.Println(filesystem.Names())
	_, err := filesystem.ByName("minix")
	fmt.Println(err)
	fmt.Println(filesystem.MountOf("xfs", "/dev/mapper/pool-thin-7", true))

	dir, err := os.MkdirTemp("", "filesystem")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "image")
	err = os.WriteFile(image, make([]byte, 1<<20), 0o600)
	state, lookErr := filesystem.Look(image)
	fmt.Printf("%q %v %v %v\n", state.Kind, state.NeedsReplay, err, lookErr)
	fmt.Println(filesystem.Replay(context.Background(), filesystem.MountOf(state.Kind, image, false)) != nil)
	// Output:
	// [ext4 xfs]
	// invalid request: filesystem "minix"; ext4 and xfs are possible
	// {xfs /dev/mapper/pool-thin-7 [nouuid ro]}
	// "" false <nil> <nil>
	// true
}

package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots/disk"
)

func ExampleForBacking() {
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	pool := metadata.Pool{
		Name: "example", Backing: metadata.BackingLoop,
		Data: filepath.Join(dir, "pool", "data"), Metadata: filepath.Join(dir, "pool", "metadata"),
	}
	disks := disk.ForBacking(pool.Backing)
	fmt.Println(disks.Vacant(ctx, pool), disks.Create(ctx, pool, 64<<20, 4<<20))
	fmt.Println(errors.Is(disks.Vacant(ctx, pool), class.Exists))
	fmt.Println(disks.Delete(ctx, pool))
	_, err = os.Stat(filepath.Join(dir, "pool"))
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output:
	// <nil> <nil>
	// true
	// <nil>
	// true
}

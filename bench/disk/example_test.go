package disk_test

import (
	"fmt"
	"os"

	"github.com/veneerdm/veneer/bench/disk"
)

func Example() {
	store, err := os.MkdirTemp("", "disk-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(store)
	folder, err := disk.NewFolder(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := disk.Folders(store)
	fmt.Println(len(found), "run,", found[0].Name == folder.Name, err)
	fmt.Println(folder.Close())
	found, err = disk.Folders(store)
	fmt.Println(len(found), "runs", err)
	// Output:
	// 1 run, true <nil>
	// <nil>
	// 0 runs <nil>
}

package metadatatest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/metadatatest"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	full := errors.New("disk full")
	c, err := metadatatest.Open(filepath.Join(dir, "catalog.db"), metadata.Options{}, func(change string) error {
		if change == "reserve" {
			return full
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Reserve(1, "template")
	fmt.Println(err)
	trash, err := c.Trash()
	fmt.Println(len(trash), err, c.Close())
	// Output:
	// disk full
	// 0 <nil> <nil>
}

package backend_test

import (
	"fmt"

	"github.com/veneerdm/veneer/bench/backend"
)

func Example() {
	b, err := backend.Find("thin-256k")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.About().Text)
	fmt.Println(b.About().Options)
	// Output:
	// Veneer: thin block snapshots; a first write copies one block
	// block size 256KiB, new blocks zeroed
}

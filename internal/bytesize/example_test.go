package bytesize_test

import (
	"fmt"

	"github.com/veneerdm/veneer/internal/bytesize"
)

func Example() {
	fmt.Println(bytesize.Format(1_296_000_000))
	n, err := bytesize.Parse("1.5G")
	fmt.Println(n, err)
	var flag bytesize.Size
	fmt.Println(flag.Set("65536"), flag)
	// Output:
	// 1.207GiB
	// 1610612736 <nil>
	// <nil> 64KiB
}

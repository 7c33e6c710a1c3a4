package veneerv1_test

import (
	"fmt"

	veneerv1 "github.com/veneerdm/veneer/service/api/v1"
)

func Example() {
	fmt.Println(veneerv1.Veneer_Prepare_FullMethodName)
	for _, s := range veneerv1.Veneer_ServiceDesc.Streams {
		if s.StreamName == "Walk" {
			fmt.Println("Walk streams:", s.ServerStreams)
		}
	}
	// Output:
	// /veneer.v1.Veneer/Prepare
	// Walk streams: true
}

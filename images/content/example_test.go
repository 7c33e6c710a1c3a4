package content_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/images/content"
)

func Example() {
	dir, err := os.MkdirTemp("", "content")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := content.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	blob := "the bytes of a layer"
	d := digest.FromString(blob)
	// A source is asked for the rest when a part of the blob is there already.
	from := func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(blob[offset:])), nil
	}
	fmt.Println(store.Put(context.Background(), d, int64(len(blob)), from, nil))
	fmt.Println(store.Stat(d))
	// Output:
	// <nil>
	// 20 <nil>
}

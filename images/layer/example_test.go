package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/images/layer"
)

// A layer is applied to one directory; what was then changed by hand becomes the
// next layer.
func Example() {
	dir, err := os.MkdirTemp("", "layer")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	var base bytes.Buffer
	tw := tar.NewWriter(&base)
	_ = tw.WriteHeader(&tar.Header{Name: "motd", Mode: 0o644, Size: 5, Uid: os.Geteuid(), Gid: os.Getegid()})
	_, _ = tw.Write([]byte("hello"))
	_ = tw.Close()

	for _, name := range []string{"lower", "upper"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			fmt.Println(err)
			return
		}
		root, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer root.Close()
		done, err := layer.Apply(context.Background(), openDir{root}, bytes.NewReader(base.Bytes()), layer.ApplyOptions{})
		fmt.Println(name, done.Entries, done.Bytes, err)
	}
	_ = os.Remove(filepath.Join(dir, "upper", "motd"))

	lower, _ := os.Open(filepath.Join(dir, "lower"))
	defer lower.Close()
	upper, _ := os.Open(filepath.Join(dir, "upper"))
	defer upper.Close()
	changes, err := layer.Diff(context.Background(), openDir{lower}, openDir{upper}, io.Discard, layer.DiffOptions{})
	for _, c := range changes {
		if c.Path != "" {
			fmt.Println(c.Kind, c.Path)
		}
	}
	fmt.Println(err)
	// Output:
	// lower 1 5 <nil>
	// upper 1 5 <nil>
	// D motd
	// <nil>
}

// openDir is a directory opened in the ordinary way.
type openDir struct{ *os.File }

func (r openDir) FD() int { return int(r.Fd()) }

package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/images/imagestest"
)

// An image in docker's archive format goes into snapshots. The driver here keeps
// them in directories; the real one is package snapshots.
func Example() {
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "hello.tar")
	if err := os.WriteFile(archive, helloImage(), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	if err := os.Mkdir(filepath.Join(dir, "snapshots"), 0o700); err != nil {
		fmt.Println(err)
		return
	}

	store, err := images.Open(images.Config{
		Root:      filepath.Join(dir, "images"),
		Snapshots: imagestest.NewDirectories(filepath.Join(dir, "snapshots")),
		Mount:     imagestest.Mount,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	record, err := store.Import(context.Background(), archive, images.ImportOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(record.Name, len(record.Layers))
	steps, err := store.History(context.Background(), "hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(steps[0].CreatedBy, steps[0].Size)
	// Output:
	// docker.io/library/hello:latest 1
	// COPY hello / 5
}

// helloImage is an image with one file, as docker save would write it.
func helloImage() []byte {
	pack := func(files ...[2]string) []byte {
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		for _, f := range files {
			_ = tw.WriteHeader(&tar.Header{Name: f[0], Size: int64(len(f[1])), Mode: 0o644, Uid: os.Geteuid(), Gid: os.Getegid()})
			_, _ = tw.Write([]byte(f[1]))
		}
		_ = tw.Close()
		return buf.Bytes()
	}
	layer := pack([2]string{"hello", "world"})
	config, _ := json.Marshal(map[string]any{
		"os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
		"history": []any{map[string]any{"created_by": "COPY hello /"}},
	})
	manifest, _ := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{"hello:latest"}, "Layers": []string{"layer.tar"}}})
	return pack([2]string{"layer.tar", string(layer)}, [2]string{"config.json", string(config)}, [2]string{"manifest.json", string(manifest)})
}

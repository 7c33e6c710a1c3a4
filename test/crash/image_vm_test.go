package crash_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/snapshots"
)

const imageName = "docker.io/library/box:latest"

// image is an archive as docker save writes it, of files of this machine.
type image struct {
	path   string
	layers []string // their ChainIDs, bottom first
	trees  []string // digests of what each shows, "" until it was seen whole
}

type entry struct{ name, content string }

func pack(files []entry) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o755, Typeflag: tar.TypeReg}
		_ = tw.WriteHeader(h) // a buffer takes everything
		_, _ = tw.Write([]byte(f.content))
	}
	_ = tw.Close()
	return buf.Bytes()
}

// makeImage packs a program, a few hundred source files and a change to both, all of
// which a machine that runs this has.
func (r *rig) makeImage() *image {
	r.t.Helper()
	program, err := exec.LookPath("thin_check")
	require.NoError(r.t, err)
	content, err := os.ReadFile(program)
	require.NoError(r.t, err)
	first := []entry{{"bin/program", string(content)}, {"a", "bottom"}}
	var second []entry
	for _, pattern := range []string{"../../*/*.go", "../../*/*/*.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(r.t, err)
		require.NotEmpty(r.t, found)
		for _, path := range found {
			b, err := os.ReadFile(path)
			require.NoError(r.t, err)
			second = append(second, entry{"usr/src/" + strings.TrimPrefix(path, "../../"), string(b)})
		}
	}
	second = append(second, entry{"a", "middle"})
	third := []entry{{"bin/.wh.program", ""}, {"a", "top"}, {"usr/big", strings.Repeat("0123456789abcdef", 64<<10)}}
	i := &image{path: filepath.Join(r.dir, "image.tar")}
	layers := [][]entry{first, second, third}
	for n, layer := range layers {
		chain := diffID(pack(layer))
		if n > 0 {
			chain = diffID([]byte(i.layers[n-1] + " " + chain))
		}
		i.layers = append(i.layers, chain)
	}
	require.NoError(r.t, os.WriteFile(i.path, archiveOf("box", layers), 0o600))
	return i
}

func diffID(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// archiveOf is an image as docker save writes it.
func archiveOf(name string, layers [][]entry) []byte {
	var files []entry
	var names, diffs []string
	for n, layer := range layers {
		raw := pack(layer)
		diffs, names = append(diffs, diffID(raw)), append(names, fmt.Sprint(n, ".tar"))
		files = append(files, entry{names[n], string(raw)})
	}
	config, _ := json.Marshal(map[string]any{"os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
	manifest, _ := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{name + ":latest"}, "Layers": names}})
	return pack(append(files, entry{"config.json", string(config)}, entry{"manifest.json", string(manifest)}))
}

func (i *image) store(d *snapshots.Driver) (*images.Store, error) {
	return images.Open(images.Config{Root: d.Root(), Snapshots: d})
}

func (i *image) importInto(ctx context.Context, d *snapshots.Driver) error {
	s, err := i.store(d)
	if err != nil {
		return err
	}
	if _, err = s.Import(ctx, i.path, images.ImportOptions{}); err != nil {
		return err
	}
	i.trees = make([]string, len(i.layers))
	for n, key := range i.layers {
		if i.trees[n], err = treeOf(ctx, d, key); err != nil {
			return err
		}
	}
	return nil
}

// contents is what file "a" of each layer holds.
func (i *image) contents() map[string]string {
	return map[string]string{i.layers[0]: "bottom", i.layers[1]: "middle", i.layers[2]: "top"}
}

// whole says whether a store has the image with all that belongs to it.
func (i *image) whole(ctx context.Context, d *snapshots.Driver) error {
	if _, err := d.Record(imageName); err != nil {
		return fmt.Errorf("the image was acknowledged: %w", err)
	}
	for n, key := range i.layers {
		tree, err := treeOf(ctx, d, key)
		if err != nil {
			return err
		}
		if tree != i.trees[n] {
			return fmt.Errorf("layer %d of the image shows other files than it did", n)
		}
	}
	return nil
}

// treeOf is a digest of all files of a committed snapshot.
func treeOf(ctx context.Context, d *snapshots.Driver, key string) (digest string, err error) {
	m, err := d.View(ctx, "tree", key)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Remove(ctx, "tree")) }()
	tree, err := m.Open()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	err = filepath.WalkDir(tree.Path()+"/.", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, strings.TrimPrefix(path, tree.Path()), e.Type())
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		_, _ = sum.Write(b) // never fails
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), errors.Join(err, tree.Close())
}

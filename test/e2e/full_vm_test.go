package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// onSmallDisk puts a program's store on a filesystem of its own, of so many bytes.
func (p *program) onSmallDisk(t *testing.T, size int64) {
	t.Helper()
	image, dir := filepath.Join(p.dir, "disk"), filepath.Join(p.dir, "mnt")
	require.NoError(t, loopback.CreateImage(image, size))
	d, err := loopback.Attach(t.Context(), image, loopback.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Detach(t.Context())) })
	_, err = command.Run(t.Context(), "mkfs.ext4", "-q", "-F", "-m", "0", d.Path)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, unix.Mount(d.Path, dir, "ext4", 0, ""))
	t.Cleanup(func() { assert.NoError(t, filesystem.Unmount(dir)) })
	p.root = filepath.Join(dir, "store")
}

// free is the space left on the disk that a store is on.
func (p *program) free(t *testing.T) int64 {
	t.Helper()
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(filepath.Dir(p.root), &st))
	return int64(st.Bavail) * st.Bsize
}

// The disk below the store fills up while an image comes in, once by the blob and
// once by what the blob unpacks to. The sentence names the disk, nothing of the
// image can be seen, what was there before is whole, and with space again the import
// succeeds.
func TestADiskThatFillsUpDuringAnImport(t *testing.T) {
	for _, c := range []struct {
		name  string
		layer entry
	}{
		{"by a blob", noise("large", 160*mib, 12)},
		{"by what a blob unpacks to", echo("large", 160*mib)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProgram(t)
			p.onSmallDisk(t, 128*mib)
			p.do(t, "pool", "create", "--name", p.pool(), "--size", "1G", "--metadata-size", "8M", "--base-size", "512M")
			defer p.do(t, "pool", "destroy", p.pool(), "--yes")
			lower, upper := twoLayers()
			p.do(t, "image", "import", "oci:"+layoutOf(t, "good:1", on(t, scratchImage(t), small(t, lower...), small(t, upper...))))
			p.do(t, "container", "create", "good:1", "--name", "box")
			source := "oci:" + layoutOf(t, "large:1", on(t, scratchImage(t), small(t, file("first", "1")), small(t, c.layer)))
			free := p.free(t)
			t.Logf("%d MiB are free", free/mib)

			r := p.run(t, "image", "import", source)
			t.Logf("%s", strings.TrimSpace(r.stderr))
			assert.Equal(t, exitPool, r.code)
			assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "one line: %q", r.stderr)
			for _, part := range []string{"veneer: ", "layer 2 of 2", "no space left", filepath.Dir(p.root)} {
				assert.Contains(t, r.stderr, part)
			}
			assert.Equal(t, "good:1", p.do(t, "image", "ls", "-q"))
			var status struct {
				Mode       string
				NeedsCheck bool
				Trash      int
			}
			require.NoError(t, json.Unmarshal([]byte(p.do(t, "pool", "status", "--format", "json")), &status))
			assert.Equal(t, "rw", status.Mode)
			assert.False(t, status.NeedsCheck)
			assert.Zero(t, status.Trash)
			p.do(t, "pool", "check")
			t.Logf("%d MiB are free after the import, which may go on", p.free(t)/mib)
			t.Log(p.do(t, "doctor", "--fix"))
			t.Logf("%d MiB are free after doctor", p.free(t)/mib)
			assert.Greater(t, p.free(t), free-mib, "the space is back")

			dir := filepath.Join(p.dir, "box")
			require.NoError(t, os.Mkdir(dir, 0o755))
			p.do(t, "container", "mount", "box", dir)
			assert.NotEmpty(t, describe(t, dir))
			p.do(t, "container", "umount", "box")
			p.do(t, "container", "rm", "box")
			p.do(t, "image", "import", "oci:"+layoutOf(t, "small:1", on(t, scratchImage(t), small(t, noise("small", 20*mib, 13)))))
		})
	}
}

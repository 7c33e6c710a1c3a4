package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
)

// secret fills the blocks of the container that is deleted.
var secret = []byte(strings.Repeat("the deleted container's secret! ", 4*kib/32))

// A container that is given its raw device, as a virtual machine's disk is, writes
// 4 KiB into each block of it and reads everything. A pool that zeroes shows it
// nothing of a deleted container; one that was told to expose deleted data does,
// which proves that the test can see it.
func TestARawDeviceHoldsNothingOfADeletedContainer(t *testing.T) {
	onTheKernel(t)
	for _, c := range []struct {
		name    string
		devices bool // disks that cannot discard, so that old data really lies there
		expose  bool
	}{
		{"loop files", false, false},
		{"disks without discard", true, false},
		{"disks without discard, exposing deleted data", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, "ext4", func(o *snapshots.PoolOptions) {
				o.DataSize, o.BaseSize, o.ExposeDeletedData = 256*mib, 160*mib, c.expose
				if c.devices {
					o.Backing, o.Data, o.Metadata = metadata.BackingDevices, disk(t, 256*mib), disk(t, 16*mib)
				}
			})
			box := s.container(t, "deleted", "")
			const secrets = 120 * mib
			f, err := os.Create(at(box, "secrets"))
			require.NoError(t, err)
			for range secrets / len(secret) {
				_, err := f.Write(secret)
				require.NoError(t, err)
			}
			require.NoError(t, f.Sync())
			require.NoError(t, f.Close())
			require.NoError(t, box.Close())
			require.NoError(t, s.Remove(t.Context(), "deleted"))
			require.NoError(t, s.Drain(t.Context()))

			m, err := s.Prepare(t.Context(), "new", "")
			require.NoError(t, err)
			found, mapped := readAfterWriting(t, m.Source, 160*mib)
			usage, err := s.Usage(t.Context(), "new")
			require.NoError(t, err)
			assert.GreaterOrEqual(t, usage.Mapped, uint64(mapped), "every block was mapped")
			t.Logf("%d of %d pages in %d MiB of mapped blocks hold the deleted container's data", found, mapped/4096, mapped/mib)
			if c.expose {
				assert.NotZero(t, found, "the negative control sees what was left")
			} else {
				assert.Zero(t, found)
			}
			require.NoError(t, s.Remove(t.Context(), "new"))
		})
	}
}

// readAfterWriting writes 4 KiB into every block of 64 KiB and counts the pages
// of the device in which the secret is found.
func readAfterWriting(t *testing.T, device string, size int64) (pages int, mapped int64) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	page := bytes.Repeat([]byte("new "), kib)
	const block = 64 * kib
	for at := int64(0); at < size; at += block {
		_, err := f.WriteAt(page, at)
		require.NoError(t, err)
		mapped += block
	}
	require.NoError(t, f.Sync())
	// What was read ahead of a write is not what is on disk.
	require.NoError(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200))
	_, err = f.Seek(0, io.SeekStart)
	require.NoError(t, err)
	for {
		_, err := io.ReadFull(f, page)
		if err == io.EOF {
			return pages, mapped
		}
		require.NoError(t, err)
		if bytes.Contains(page, []byte("secret!")) {
			pages++
		}
	}
}

// disk is a block device that cannot discard, until the test ends.
func disk(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, loopback.CreateImage(image, size))
	d, err := loopback.Attach(t.Context(), image, loopback.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Detach(t.Context())) })
	limit := fmt.Sprintf("/sys/block/%s/queue/discard_max_bytes", filepath.Base(d.Path))
	require.NoError(t, os.WriteFile(limit, []byte("0"), 0o644))
	return d.Path
}

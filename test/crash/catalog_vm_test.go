package crash_test

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/ioctl"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/test/resulttest"
)

// extent is a run of a file's bytes on the disk below, in bytes.
type extent struct{ logical, physical, length int64 }

// extents asks the filesystem where a file is: FS_IOC_FIEMAP of linux/fs.h, struct
// fiemap and struct fiemap_extent of linux/fiemap.h.
func extents(t *testing.T, path string) []extent {
	t.Helper()
	const request, head, each, most = 0xc020660b, 32, 56, 64
	f, err := os.Open(path)
	require.NoError(t, err)
	order := binary.NativeEndian
	buf := make([]byte, head+each*most)
	order.PutUint64(buf[8:], 1<<40) // from 0, so many bytes
	order.PutUint32(buf[24:], most)
	require.NoError(t, errors.Join(ioctl.Do(f.Fd(), request, buf), f.Close()))
	var all []extent
	for i := range order.Uint32(buf[20:]) {
		e := buf[head+each*int(i):]
		all = append(all, extent{int64(order.Uint64(e)), int64(order.Uint64(e[8:])), int64(order.Uint64(e[16:]))})
	}
	require.NotEmpty(t, all)
	require.Less(t, len(all), most)
	return all
}

// refuse has the disk fail reads and writes of some of its parts from now on.
func (s *shim) refuse(parts []extent) {
	t := s.r.t
	t.Helper()
	slices.SortFunc(parts, func(a, b extent) int { return cmp.Compare(a.physical, b.physical) })
	var table devmapper.Table
	at := int64(0)
	add := func(to int64, target func(devmapper.Sectors) devmapper.Target) {
		if to > at {
			table = append(table, devmapper.Line{Start: devmapper.Sectors(at / 512), Length: devmapper.Sectors((to - at) / 512), Target: target(devmapper.Sectors(at / 512))})
			at = to
		}
	}
	well := func(from devmapper.Sectors) devmapper.Target {
		return devmapper.Linear{Dev: devno(s.disk), Offset: from}
	}
	// dm-flakey would fail the flushes of the whole disk too. What is read is in the cache.
	ill := func(devmapper.Sectors) devmapper.Target { return devmapper.Fault{} }
	for _, p := range parts {
		add(p.physical, well)
		add(p.physical+p.length, ill)
	}
	add(s.disk.Size, well)
	ref := devmapper.ByName(s.name)
	require.NoError(t, s.r.dm.Load(ref, table, devmapper.ReadWrite))
	require.NoError(t, s.r.dm.ResumeFlags(ref, devmapper.NoFlush|devmapper.SkipLockFS))
}

// imagesOf are the names of all that a catalog has.
func imagesOf(t *testing.T, c *metadata.Catalog) []string {
	t.Helper()
	require.NoError(t, c.Check())
	images, err := c.Images()
	require.NoError(t, err)
	names := []string{}
	for _, i := range images {
		names = append(names, i.Name)
	}
	return names
}

// A disk that fails writes under the catalog: of its header pages, so that the second
// flush of a commit fails, of all but these, so that the first one does, or of
// everything, so that the filesystem's journal fails too. What a caller was told is
// what the disk has, read after the page cache is gone; or the catalog said that it
// takes no more until it is opened again.
func TestDisksThatRefuseTheCatalog(t *testing.T) {
	r := newRig(t)
	row, end := resulttest.Begin(t, "disk refuses writes of the catalog", 0)
	defer end()
	const header = 2 * 4096
	for _, sick := range []string{"headers", "the rest", "everything"} {
		for _, remounted := range []bool{true, false} {
			at := fmt.Sprintf("%s, mounted again: %t", sick, remounted)
			s := r.shim("cat", 48)
			r.run("mkfs.ext4", "-q", s.path())
			r.mount(s.path())
			path := filepath.Join(r.mnt, "catalog.db")
			c, err := metadata.Open(path, metadata.Options{})
			require.NoError(t, err)
			require.NoError(t, c.WriteAhead())
			put := func(name string) error { // into the catalog that is open then
				return c.PutImage(metadata.Image{Name: name, Record: []byte("{}")})
			}
			require.NoError(t, put("before"))

			var parts []extent
			for _, e := range extents(t, path) {
				switch {
				case sick == "everything":
					parts = []extent{{0, 0, s.disk.Size}}
				case sick == "headers" && e.logical == 0:
					parts = append(parts, extent{0, e.physical, header})
				case sick == "the rest" && e.logical == 0:
					parts = append(parts, extent{header, e.physical + header, e.length - header})
				case sick == "the rest":
					parts = append(parts, e)
				}
			}
			s.refuse(parts)
			told := put("change")
			require.Error(t, told, at)
			s.mend()

			// Only a header that may be on the disk or not leaves doubt, or a filesystem
			// that has become read-only meanwhile.
			later := put("later")
			want := []string{"before", "later"}
			doubt := later != nil
			if doubt {
				want = []string{"before"}
			}
			if sick != "everything" {
				require.Equal(t, sick == "headers", doubt, "%s: %v", at, later)
			}
			if sick == "headers" {
				require.ErrorIs(t, later, metadata.ErrDisk, at)
				require.ErrorContains(t, later, "nothing more is recorded until", at)
			}
			require.NoError(t, c.Close(), at)
			if remounted || sick == "everything" {
				r.unmount()
				r.mount(s.path())
			}
			c, err = metadata.Open(path, metadata.Options{MustExist: true})
			require.NoError(t, err, at)
			found := imagesOf(t, c)
			if sick == "headers" && !remounted {
				// The page cache shows the change, and whoever opens it has it written.
				want = []string{"before", "change"}
			}
			require.Equal(t, want, found, at)
			for _, more := range []string{"", "next"} {
				if more != "" {
					require.NoError(t, put(more), at)
					found = append(found, more)
				}
				require.NoError(t, c.Close(), at)
				r.unmount()
				r.mount(s.path())
				c, err = metadata.Open(path, metadata.Options{MustExist: true})
				require.NoError(t, err, at)
				require.ElementsMatch(t, found, imagesOf(t, c), "%s: what the disk has", at)
			}
			require.NoError(t, c.Close())
			r.unmount()
			s.close()
			row.Points++
		}
	}
}

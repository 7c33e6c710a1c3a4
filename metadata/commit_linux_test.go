package metadata_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/test/resulttest"
)

// afterwards is a record that has nothing to do with the change.
const afterwards = "afterwards"

// everything is all that a catalog says, but for what came afterwards.
func everything(t *testing.T, c *metadata.Catalog) string {
	t.Helper()
	require.NoError(t, c.Check())
	thins, err1 := c.Thins()
	images, err2 := c.Images()
	require.NoError(t, errors.Join(err1, err2))
	for i := range thins {
		thins[i].Snapshot.Created, thins[i].Snapshot.Updated = time.Time{}, time.Time{}
	}
	images = slices.DeleteFunc(images, func(i metadata.Image) bool { return i.Name == afterwards })
	all, err := json.Marshal([]any{thins, append([]metadata.Image(nil), images...)})
	require.NoError(t, err)
	return string(all)
}

// change is one transaction on a catalog that has an active and a committed snapshot.
type change struct {
	name string
	do   func(c *metadata.Catalog) error
}

var changes = []change{
	{"create", func(c *metadata.Catalog) error {
		_, err := c.Create(metadata.Snapshot{Key: "new", Parent: "base", Kind: metadata.Active, Size: 1})
		return err
	}},
	{"commit", func(c *metadata.Catalog) error { _, err := c.Commit(at(c, "active"), "done", nil); return err }},
	{"remove", func(c *metadata.Catalog) error { _, err := c.Remove(at(c, "active")); return err }},
	{"large record", func(c *metadata.Catalog) error { // over several pages, and the file grows
		return c.PutImage(metadata.Image{Name: "large", Record: []byte(`"` + strings.Repeat("x", 100_000) + `"`)})
	}},
	{"write ahead", func(c *metadata.Catalog) error { return c.WriteAhead() }},
}

// catalogOf makes a catalog with pages of a size and gives its file.
func catalogOf(t *testing.T, path string, pageSize int) []byte {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize, NoFreelistSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	c, err := metadata.Open(path, metadata.Options{})
	require.NoError(t, err)
	for _, key := range []string{"tmp", "active"} {
		_, err := create(c, metadata.Snapshot{Key: key, Kind: metadata.Active, Size: 1})
		require.NoError(t, err)
	}
	_, err = c.Commit(at(c, "tmp"), "base", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	return whole
}

// Every write and every flush of every change failing in turn, once or from then on,
// with all, some or nothing of it on the disk: the change is there and the caller was
// told so, or it is not and the caller was told that, for the process as for one after
// a power cut. Later changes go through, or the catalog says that it takes no more.
func TestEveryFaultOfTheCatalogsDisk(t *testing.T) {
	row, end := resulttest.Begin(t, "write or flush of the catalog fails", 0)
	defer end()
	for _, pageSize := range []int{4096, 16384} {
		whole := catalogOf(t, filepath.Join(t.TempDir(), "catalog.db"), pageSize)
		for _, ch := range changes {
			if ch.name == "write ahead" && pageSize != 4096 {
				continue // it writes the same
			}
			t.Run(fmt.Sprint(ch.name, " ", pageSize), func(t *testing.T) {
				p := &faultCase{t: t, path: filepath.Join(t.TempDir(), "catalog.db"), whole: whole, change: ch, folder: t.TempDir(), known: map[string]string{}}
				require.NoError(t, os.WriteFile(p.path, whole, 0o600))
				p.disk = newFaultyDisk(t, p.path)
				calls := p.dryRun()
				for call := 0; ; call++ {
					if calls > 20 && call > 1 && call < calls-2 {
						continue // one of many alike
					}
					tried := false
					for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
						for _, kept := range []kept{keptNothing, keptAll, keptSome} {
							for _, lasts := range []bool{false, true} {
								if calls > 20 && (lasts || kept == keptAll) || errno == syscall.ENOSPC && kept != keptNothing {
									continue // as others
								}
								if p.inject(diskFault{call, errno, lasts, kept}) {
									tried = true
									row.Points++
								}
							}
						}
					}
					if !tried {
						require.Positive(t, call)
						break
					}
				}
			})
		}
	}
}

// faultCase is a catalog on a disk that falls fault during one change.
type faultCase struct {
	t             *testing.T
	path          string
	whole         []byte
	disk          *faultyDisk
	change        change
	before, after string
	folder        string            // for disks after a power cut
	known         map[string]string // what catalogs of those bytes say
}

func (p *faultCase) open() *metadata.Catalog {
	p.t.Helper()
	c, err := metadata.Open(p.path, metadata.Options{MustExist: true})
	require.NoError(p.t, err)
	return c
}

func (p *faultCase) reset() {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(p.path, p.whole, 0o600))
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.disk.disk = append([]byte(nil), p.whole...)
	clear(p.disk.dirty)
}

// dryRun has the change succeed, and says how many calls it makes.
func (p *faultCase) dryRun() int {
	p.t.Helper()
	c := p.open()
	p.before = everything(p.t, c)
	p.disk.inject(noFault)
	require.NoError(p.t, p.change.do(c))
	_, calls := p.disk.repair()
	p.after = everything(p.t, c)
	require.NoError(p.t, c.Close())
	require.Equal(p.t, p.after, p.onDisk(p.disk.cutPower()), "what is acknowledged is on the disk")
	return calls
}

// onDisk is what a catalog says that has those bytes.
func (p *faultCase) onDisk(content []byte) string {
	p.t.Helper()
	if said, known := p.known[string(content)]; known {
		return said
	}
	path := filepath.Join(p.folder, "cut.db")
	require.NoError(p.t, os.WriteFile(path, content, 0o600))
	c, err := metadata.Open(path, metadata.Options{})
	require.NoError(p.t, err)
	said := everything(p.t, c)
	require.NoError(p.t, c.Close())
	require.NoError(p.t, os.Remove(path))
	p.known[string(content)] = said
	return said
}

// inject has the change meet an diskFault, and says whether it did.
func (p *faultCase) inject(fault diskFault) bool {
	t := p.t
	t.Helper()
	p.reset()
	clear(p.known)
	c := p.open()
	p.disk.inject(fault)
	err := p.change.do(c)
	fired, _ := p.disk.repair()
	at := fmt.Sprintf("%s: %s, answered %v", fault, fired, err)
	if fired == "" {
		require.NoError(t, err, at)
		require.NoError(t, c.Close())
		return false
	}

	// What this process sees, and what one after a power cut would see, now or while
	// later changes are made.
	cuts := [][]byte{p.disk.cutPower()}
	stop := p.disk.watch(&cuts)
	later := c.PutImage(image(afterwards))
	possible := []string{p.before}
	if err == nil {
		possible = []string{p.after}
	}
	if later != nil {
		require.ErrorIs(t, later, metadata.ErrDisk, at)
		require.ErrorContains(t, later, "nothing more is recorded until", at)
		_, read := c.Trash()
		require.ErrorIs(t, read, metadata.ErrDisk, "%s: nobody knows whether the disk has what the page cache shows", at)
		require.ErrorIs(t, c.Err(), metadata.ErrDisk, at)
		require.Error(t, err, at)
		possible = []string{p.before, p.after} // and the error says "perhaps"
	} else {
		require.NoError(t, c.DeleteImage(afterwards), at)
		require.Contains(t, possible, everything(t, c), at)
	}
	stop()
	for n, cut := range cuts {
		require.Contains(t, possible, p.onDisk(cut), "%s: after power cut %d", at, n)
	}
	require.NoError(t, c.Close(), at)

	// And what the next process builds on.
	c = p.open()
	found := everything(t, c)
	require.Contains(t, possible, found, at)
	cuts = [][]byte{p.disk.cutPower()}
	stop = p.disk.watch(&cuts)
	require.NoError(t, c.PutImage(image(afterwards)), at)
	require.NoError(t, c.DeleteImage(afterwards), at)
	stop()
	for n, cut := range cuts {
		require.Equal(t, found, p.onDisk(cut), "%s: opened again, after power cut %d", at, n)
	}
	require.NoError(t, c.Close(), at)
	return true
}

// Likewise for the making of a catalog, of which nothing is there until it is: the next
// who tries has one, also after a power cut.
func TestEveryFaultOfMakingACatalog(t *testing.T) {
	row, end := resulttest.Begin(t, "write or flush of a new catalog fails", 0)
	defer end()
	t.Run("new", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "catalog.db")
		disk := newFaultyDisk(t, path)
		open := func(path string, at any) string {
			c, err := metadata.Open(path, metadata.Options{})
			require.NoError(t, err, at)
			said := everything(t, c)
			require.NoError(t, c.Close(), at)
			require.NoError(t, os.Remove(path))
			return said
		}
		for call := 0; ; call++ {
			for _, kept := range []kept{keptNothing, keptAll, keptSome} {
				for _, lasts := range []bool{false, true} {
					disk.disk = nil
					fault := diskFault{call, syscall.EIO, lasts, kept}
					disk.inject(fault)
					c, err := metadata.Open(path, metadata.Options{})
					fired, _ := disk.repair()
					if err == nil {
						require.NoError(t, c.Close(), fault)
					}
					if fired == "" {
						require.NoError(t, err, fault)
						require.Positive(t, call)
						return
					}
					row.Points++
					at := fmt.Sprintf("%s: %s, answered %v", fault, fired, err)
					left, look := filepath.Glob(path + "*")
					require.NoError(t, look)
					cut := filepath.Join(t.TempDir(), "cut.db")
					if err == nil {
						require.NoError(t, os.WriteFile(cut, disk.cutPower(), 0o600), at)
						require.Equal(t, []string{path}, left, at)
					} else {
						// Before its name was taken away again.
						require.NoError(t, os.WriteFile(cut+".making", disk.cutPower(), 0o600), at)
						require.Empty(t, left, at)
					}
					require.Equal(t, "[null,null]", open(cut, at), "%s: after a power cut", at)
					require.Equal(t, "[null,null]", open(path, at), at)
				}
			}
		}
	})
}

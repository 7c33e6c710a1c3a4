package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writer makes files in a container, one after the other, and notes each when the
// kernel has acknowledged that it is on disk.
type writer struct {
	dir   string
	mu    sync.Mutex
	acked int
	goal  int           // what was asked for last
	moved chan struct{} // told of every acknowledgement, if anybody listens
	asked chan struct{} // told of every new goal
	stop  chan struct{}
	ended chan error
}

func startWriter(dir string) *writer {
	w := &writer{dir: dir, moved: make(chan struct{}), asked: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { w.ended <- w.run() }()
	return w
}

func contentOf(n int) string { return strings.Repeat(fmt.Sprintf("file %06d;", n), 1+n%3000) }

// ahead is how many files a writer makes beyond its goal. However slow its reader is, the
// disk does not fill up.
const ahead = 200

func (w *writer) mayGoOn() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked < w.goal+ahead
}

func (w *writer) run() error {
	folder, err := os.Open(w.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	for n := 0; ; n++ {
		for !w.mayGoOn() {
			select {
			case <-w.stop:
				return nil
			case <-w.asked:
			case w.moved <- struct{}{}: // whoever missed the last one
			}
		}
		select {
		case <-w.stop:
			return nil
		default:
		}
		f, err := os.Create(filepath.Join(w.dir, fmt.Sprintf("%06d", n)))
		if err != nil {
			return err
		}
		_, err = f.WriteString(contentOf(n))
		if err := errors.Join(err, f.Sync(), f.Close(), folder.Sync()); err != nil {
			return err
		}
		w.mu.Lock()
		w.acked = n + 1
		w.mu.Unlock()
		select {
		case w.moved <- struct{}{}:
		default:
		}
	}
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// reach waits until n files are acknowledged.
func (w *writer) reach(t *testing.T, n int) {
	t.Helper()
	w.mu.Lock()
	w.goal = n
	w.mu.Unlock()
	select {
	case w.asked <- struct{}{}:
	default:
	}
	for w.count() < n {
		select {
		case <-w.moved:
		case err := <-w.ended:
			require.NoError(t, err, "the writer ended")
		case <-t.Context().Done():
			require.NoError(t, t.Context().Err())
		}
	}
}

// A container that is being written to is cloned. The clone needs no repair, no
// replay even where the filesystem can tell, and has every file that was on disk
// when the clone was asked for.
func TestACloneOfABusyContainerIsWhole(t *testing.T) {
	eachFilesystem(t, func(t *testing.T, filesystem string) {
		s := newStore(t, filesystem, nil)
		image := s.bring(t, "example.com/app:1", on(t, scratchImage(t), small(t, folder("data"), noise("lib", mib, 1))))
		box := s.container(t, "box", image.Top())
		w := startWriter(at(box, "data"))
		for round := range 3 {
			w.reach(t, w.count()+15)
			acked := w.count()
			key := fmt.Sprintf("clone-%d", round)
			m, err := s.Clone(t.Context(), key, "box")
			require.NoError(t, err)
			if filesystem == "ext4" {
				out, err := exec.Command("e2fsck", "-fn", m.Source).CombinedOutput()
				assert.NoError(t, err, "%s", out)
				assert.NotContains(t, string(out), "recover", "frozen means that its journal is empty")
			}
			copied := open(t, m)
			for n := range acked {
				got, err := os.ReadFile(at(copied, fmt.Sprintf("data/%06d", n)))
				if assert.NoError(t, err) {
					assert.True(t, contentOf(n) == string(got), "file %d of %d differs", n, acked)
				}
			}
			require.NoError(t, os.WriteFile(at(copied, "mine"), []byte("clone"), 0o644))
			require.NoError(t, copied.Close())
			if filesystem == "xfs" {
				out, err := exec.Command("xfs_repair", "-n", m.Source).CombinedOutput()
				assert.NoError(t, err, "%s", out)
			}
			t.Logf("%s has all of %d files", key, acked)
			w.reach(t, acked+1) // the original goes on
		}
		close(w.stop)
		require.NoError(t, <-w.ended)
		assert.NoFileExists(t, at(box, "mine"))
		require.NoError(t, box.Close())
	})
}

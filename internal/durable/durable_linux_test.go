package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/durable"
	"github.com/veneerdm/veneer/test/seccomptest"
)

// syncs records what is synced below a directory and what names there were at that
// moment, and has the fsync with index fail fail with EIO.
type syncs struct {
	mu   sync.Mutex // the race detector does not see that the kernel lets one wait for the other
	dir  string
	fail int
	seen []string
}

func watch(t *testing.T, dir string) *syncs {
	t.Helper()
	s := &syncs{dir: dir, fail: -1}
	seccomptest.Intercept(t, s.decide, unix.SYS_FSYNC, unix.SYS_FDATASYNC)
	return s
}

func (s *syncs) decide(c seccomptest.Call) seccomptest.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", int32(c.Args[0])))
	if err != nil || !strings.HasPrefix(target, s.dir) {
		return seccomptest.Answer{Do: true}
	}
	var names []string
	err = filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names = append(names, clean(s.dir, path))
		}
		return err
	})
	s.seen = append(s.seen, fmt.Sprintf("%s with %s", clean(s.dir, target), strings.Join(names, " ")))
	if err != nil || len(s.seen)-1 == s.fail {
		return seccomptest.Answer{Errno: syscall.EIO}
	}
	return seccomptest.Answer{Do: true}
}

// expect begins anew, below another directory.
func (s *syncs) expect(dir string, fail int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dir, s.fail, s.seen = dir, fail, nil
}

func (s *syncs) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// clean is a path below dir without the random part of a temp file's name.
func clean(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err.Error()
	}
	if folder, name := filepath.Split(rel); strings.HasPrefix(name, ".file.") {
		return folder + ".file.TEMP"
	}
	return rel
}

func write(text string) func(*os.File) error {
	return func(f *os.File) error { _, err := f.WriteString(text); return err }
}

// Each call with each of its syncs failing: what is synced, in which order, and what
// there is after an error.
func TestSyncs(t *testing.T) {
	calls := map[string]struct {
		do    func(dir string) error
		syncs []string
		after []string // what there is when the sync of that index failed
	}{
		"SyncDir": {
			func(dir string) error { return durable.SyncDir(filepath.Join(dir, "a")) },
			[]string{"a with a/file"}, []string{"a/file=old"},
		},
		"Rename in one directory": {
			func(dir string) error {
				return durable.Rename(filepath.Join(dir, "a/file"), filepath.Join(dir, "a/new"))
			},
			[]string{"a with a/new"}, []string{"a/new=old"},
		},
		"Rename between two": {
			func(dir string) error {
				return durable.Rename(filepath.Join(dir, "a/file"), filepath.Join(dir, "b/file"))
			},
			[]string{"b with b/file", "a with b/file"}, []string{"b/file=old", "b/file=old"},
		},
		"Remove": {
			func(dir string) error { return durable.Remove(filepath.Join(dir, "a/file")) },
			[]string{"a with "}, []string{""},
		},
		"Remove what is not there": {
			func(dir string) error { return durable.Remove(filepath.Join(dir, "a/other")) },
			[]string{"a with a/file"}, []string{"a/file=old"},
		},
		"WriteFile over a file": {
			func(dir string) error { return durable.WriteFile(filepath.Join(dir, "a/file"), 0o640, write("new")) },
			[]string{"a/.file.TEMP with a/.file.TEMP a/file", "a with a/file"}, []string{"a/file=old", "a/file=new"},
		},
		"WriteFile under a new name": {
			func(dir string) error { return durable.WriteFile(filepath.Join(dir, "b/file"), 0o640, write("new")) },
			[]string{"b/.file.TEMP with a/file b/.file.TEMP", "b with a/file b/file"}, []string{"a/file=old", "a/file=old b/file=new"},
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			s := watch(t, top)
			for fail := -1; fail < len(call.syncs); fail++ {
				dir := filepath.Join(top, fmt.Sprint(fail+1))
				for _, sub := range []string{"a", "b"} {
					require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, "a/file"), []byte("old"), 0o600))
				s.expect(dir, fail)
				err := call.do(dir)
				seen := s.all()
				if fail < 0 {
					require.NoError(t, err)
					assert.Equal(t, call.syncs, seen)
					continue
				}
				require.ErrorIs(t, err, syscall.EIO)
				assert.Equal(t, call.syncs[:fail+1], seen, "nothing goes on after a sync that failed")
				assert.Equal(t, call.after[fail], strings.Join(content(t, dir), " "))
			}
		})
	}
}

// content lists the files below dir as NAME=CONTENT.
func content(t *testing.T, dir string) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, clean(dir, path)+"="+string(text))
		return err
	}))
	slices.Sort(all)
	return all
}

func TestWriteFileKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, durable.WriteFile(path, 0o604, write("first")))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o604), info.Mode().Perm())
	broken := errors.New("the source broke")
	require.ErrorIs(t, durable.WriteFile(path, 0o600, func(f *os.File) error {
		return errors.Join(write("half")(f), broken)
	}), broken)
	assert.Equal(t, []string{"file=first"}, content(t, dir), "and the temp file is removed")
}

func TestWriteFileReplacesRegularFilesAlone(t *testing.T) {
	dir := t.TempDir()
	link, sub, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "sub"), filepath.Join(dir, "fifo")
	require.NoError(t, errors.Join(os.Symlink("nowhere", link), os.Mkdir(sub, 0o700), unix.Mkfifo(fifo, 0o600)))
	for _, path := range []string{link, sub, fifo, os.DevNull} {
		before, err := os.Lstat(path)
		require.NoError(t, err)
		require.ErrorIs(t, durable.WriteFile(path, 0o600, write("x")), durable.ErrNotRegular, path)
		after, err := os.Lstat(path)
		require.NoError(t, err)
		assert.True(t, os.SameFile(before, after), path)
		assert.Equal(t, before.Mode(), after.Mode(), path)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 3)
}

func TestWhatIsNotThere(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, err := range []error{
		durable.SyncDir(missing), durable.Rename(missing, missing+"2"), durable.Remove(filepath.Join(missing, "file")),
		durable.WriteFile(filepath.Join(missing, "file"), 0o600, write("x")),
	} {
		require.ErrorIs(t, err, fs.ErrNotExist)
		assert.Contains(t, err.Error(), missing, "the error says which")
	}
}

package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
)

// A tree is many small files in folders of a hundred.
type tree struct {
	seed  string
	files int
	size  int64 // of each
}

const perFolder = 100

func (t tree) folder(i int) string { return fmt.Sprintf("d%04d", i) }

func (t tree) folders() int { return (t.files + perFolder - 1) / perFolder }

func (t tree) path(dir string, i int) string {
	return filepath.Join(dir, t.folder(i/perFolder), fmt.Sprintf("f%05d", i))
}

func (t tree) content(i int) content { return content{fmt.Sprintf("%s-%d", t.seed, i), t.size} }

// write makes the tree in a folder.
func (t tree) write(dir string) error {
	for i := range t.folders() {
		if err := os.MkdirAll(filepath.Join(dir, t.folder(i)), 0o755); err != nil {
			return err
		}
	}
	for i := range t.files {
		if err := t.content(i).write(t.path(dir, i)); err != nil {
			return err
		}
	}
	return nil
}

// each does something to every file.
func (t tree) each(dir string, do func(path string) error) error {
	for i := range t.files {
		if err := do(t.path(dir, i)); err != nil {
			return err
		}
	}
	return nil
}

// check compares a tenth of the files.
func (t tree) check(dir string) error {
	for i := 0; i < t.files; i += 10 {
		if err := t.content(i).check(t.path(dir, i)); err != nil {
			return err
		}
	}
	return nil
}

// stat looks every file up.
func (t tree) stat(dir string) error {
	var st unix.Stat_t
	return t.each(dir, func(path string) error { return unix.Lstat(path, &st) })
}

// sync brings the filesystem of a folder onto its disk: syncfs(2).
func sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// refused turns an error of the system into an outcome, if it is one of those that
// applications have to expect; others stay errors.
func refused(s *bench.Site, err error) error {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		if name := unix.ErrnoName(errno); name != "" {
			s.Refused(name)
			return nil
		}
	}
	return err
}

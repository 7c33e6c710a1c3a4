package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRegular says that the path is a device, a symbolic link, a directory or
// anything else that a rename would replace and that is no regular file.
var ErrNotRegular = errors.New("not a regular file")

// WriteFile makes or replaces a regular file: write fills a temp file beside it, which
// is synced, gets the permissions perm (not reduced by the umask) and is renamed. At
// every moment path is what it was or what it shall be. After an error of write, or of
// anything before the rename, path is untouched and the temp file is removed; a crash
// can leave the temp file, whose name is that of the file with a leading dot and a
// random suffix.
func WriteFile(path string, perm fs.FileMode, write func(*os.File) error) (err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is %w and is not replaced; name another file", path, ErrNotRegular)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if err = write(temp); err == nil {
		err = errors.Join(temp.Chmod(perm), temp.Sync())
	}
	err = errors.Join(err, temp.Close())
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

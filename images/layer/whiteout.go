package layer

import (
	"errors"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// whiteout applies a whiteout entry. It hides what layers below hold and spares
// what this layer holds, whichever comes first in the tar.
func (a *applier) whiteout(dir, base string) error {
	name := strings.TrimPrefix(base, whiteoutPrefix)
	if base != opaqueName && (name == "" || name == "." || name == "..") {
		return a.hostile("it is a whiteout of no name")
	}
	if a.base {
		return nil
	}
	parent, err := a.parent(dir, false)
	if errors.Is(err, errAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	if parent.fresh {
		return nil
	}
	if base == opaqueName {
		return a.opaque(parent)
	}
	parent.dirty = true
	if _, ours := a.own[a.key(parent, name)]; !ours && !a.dirs.aliases {
		err := parent.fd.Unlink(name)
		switch {
		case err == nil, errors.Is(err, syscall.ENOENT):
			return nil
		case !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.EPERM):
			return a.fail("remove what it hides", err)
		}
	}
	// Directories that go away, and times that change, must not be in the cache.
	if err := a.dirs.forget(parent); err != nil {
		return err
	}
	if _, err := a.removeLower(parent.fd, parent.ino, name); err != nil {
		return a.fail("remove what it hides", err)
	}
	return nil
}

// opaque removes what layers below put into d.
func (a *applier) opaque(d *dir) error {
	d.dirty = true
	if err := a.dirs.forget(d); err != nil {
		return err
	}
	if _, err := a.emptyLower(d.fd, d.ino); err != nil {
		return a.fail("remove what it hides", err)
	}
	return nil
}

// removeLower removes name in d, an old directory, as far as lower layers made
// it. It says whether something of this layer remains.
func (a *applier) removeLower(d dirfd.Dir, ino uint64, name string) (remains bool, err error) {
	made, ours := a.own[a.keyOf(ino, name)]
	if ours && made {
		return true, nil
	}
	if !ours {
		err := d.Unlink(name)
		if err == nil || errors.Is(err, syscall.ENOENT) {
			return false, nil
		}
		if !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.EPERM) {
			return false, err
		}
	}
	fd, err := d.Open(name)
	if ours && (errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, fd.Close()) }()
	return a.removeLowerDir(d, fd, name, ours)
}

// removeLowerDir is removeLower for the old directory fd. listed says that this
// layer has an entry for it.
func (a *applier) removeLowerDir(d, fd dirfd.Dir, name string, listed bool) (remains bool, err error) {
	st, err := fd.Stat()
	if err != nil {
		return false, err
	}
	remains, err = a.emptyLower(fd, st.Ino)
	if err != nil {
		return false, err
	}
	if !remains && !listed {
		return false, d.Rmdir(name)
	}
	if !listed { // it is there for the sake of what it holds, as if never listed below
		implied := &dir{fd: fd, ino: st.Ino}
		if err := a.implyMetadata(implied, true); err != nil {
			return false, err
		}
	}
	return true, fd.SetOwnTime(st.Mtime)
}

// emptyLower removes the entries of an old directory as far as lower layers made
// them.
func (a *applier) emptyLower(fd dirfd.Dir, ino uint64) (remains bool, err error) {
	names, err := fd.Names()
	if err != nil {
		return false, err
	}
	for _, name := range names {
		kept, err := a.removeLower(fd, ino, name)
		if err != nil {
			return false, err
		}
		remains = remains || kept
	}
	return remains, nil
}

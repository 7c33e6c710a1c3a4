package layer

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// maxLinks is how many symbolic links one path may lead over, as in the kernel.
const maxLinks = 40

// errAbsent says that a path leads nowhere and was not to be made.
var errAbsent = errors.New("no such directory")

// parent opens the directory that path names, a clean path of the tar. Symbolic
// links of the tree are followed inside the root. With create, directories that
// are missing are made; without, errAbsent.
func (a *applier) parent(path string, create bool) (*dir, error) {
	if d := a.dirs.get(path); d != nil {
		return d, nil
	}
	links := 0
	d, err := a.walk(a.dirs.root, path, create, &links)
	if err != nil {
		return nil, err
	}
	a.dirs.alias(path, d)
	return d, nil
}

// walk follows path, which may hold "." and "..", from start.
func (a *applier) walk(start *dir, path string, create bool, links *int) (*dir, error) {
	d := start
	for component := range strings.SplitSeq(path, "/") {
		switch component {
		case "", ".":
			continue
		case "..":
			up, _ := splitName(d.path)
			var err error
			if d, err = a.parent(up, create); err != nil {
				return nil, err
			}
			continue
		}
		next, err := a.step(d, component, create, links)
		if err != nil {
			return nil, err
		}
		d = next
	}
	return d, nil
}

// step opens the directory name in d, or the one a link of that name leads to.
func (a *applier) step(d *dir, name string, create bool, links *int) (*dir, error) {
	if len(name) > nameMax {
		return nil, a.hostile("a component of its path is longer than 255 bytes")
	}
	path := joinName(d.path, name)
	// An alias may stand under the same path, but then it leads to the same place.
	if next := a.dirs.get(path); next != nil {
		return next, nil
	}
	fd, err := d.fd.Open(name)
	switch {
	case err == nil:
		return a.opened(d, fd, path, name)
	case errors.Is(err, syscall.ENOENT):
		if !create {
			return nil, errAbsent
		}
		return a.implied(d, path, name)
	case !errors.Is(err, syscall.ELOOP) && !errors.Is(err, syscall.ENOTDIR):
		return nil, a.fail("open directory "+printable(path), err)
	}
	target, err := d.fd.Readlink(name)
	switch {
	case errors.Is(err, syscall.EINVAL): // neither directory nor link
		if !create {
			return nil, errAbsent
		}
		if err := a.displace(d, name); err != nil {
			return nil, err
		}
		return a.implied(d, path, name)
	case err != nil:
		return nil, a.fail("read symbolic link "+printable(path), err)
	}
	if *links++; *links > maxLinks {
		return nil, a.hostile("its path leads over too many symbolic links")
	}
	if strings.HasPrefix(target, "/") {
		d = a.dirs.root
	}
	return a.walk(d, target, create, links)
}

// opened keeps a directory just opened.
func (a *applier) opened(up *dir, fd dirfd.Dir, path, name string) (*dir, error) {
	st, err := fd.Stat()
	if err != nil {
		return nil, errors.Join(a.fail("stat directory "+printable(path), err), fd.Close())
	}
	d := &dir{fd: fd, path: path, ino: st.Ino, mtime: st.Mtime, depth: up.depth + 1}
	d.fresh = a.base || up.fresh || a.own[a.key(up, name)]
	a.dirs.add(d)
	if d.depth > a.limits.Depth {
		return nil, a.hostile("it lies too deep")
	}
	return d, d.probe(&st, !d.fresh || a.defaultACL)
}

// implied makes a directory that the layer needs and does not list (yet). Its
// time is that of the entry that needs it, so that the result does not depend on
// the clock.
func (a *applier) implied(up *dir, path, name string) (*dir, error) {
	const perm = 0o755
	if err := up.fd.Mkdir(name, perm); err != nil {
		return nil, a.fail("make directory "+printable(path), err)
	}
	a.made(up, name, true)
	fd, err := up.fd.Open(name)
	if err != nil {
		return nil, a.fail("open directory "+printable(path), err)
	}
	d, err := a.opened(up, fd, path, name)
	if err != nil {
		return nil, err
	}
	if err := a.implyMetadata(d, up.inherits); err != nil {
		return nil, a.fail("set the mode of directory "+printable(path), err)
	}
	d.mtime, d.dirty = dirfd.TimeOf(a.hdr.ModTime), true
	return d, nil
}

// implyMetadata gives d what a directory has that no entry describes.
func (a *applier) implyMetadata(d *dir, inherits bool) error {
	const perm = 0o755
	if a.uid != 0 {
		return d.fd.Chmod(perm)
	}
	if inherits {
		if err := clearXattrs(d.fd, nil); err != nil {
			return err
		}
		if err := d.fd.Chown(0, 0); err != nil {
			return err
		}
	}
	if inherits || a.umask&perm != 0 {
		return d.fd.Chmod(perm)
	}
	return nil
}

// made notes that the layer put name into d.
func (a *applier) made(d *dir, name string, isDir bool) {
	d.dirty = true
	if !d.fresh {
		a.own[a.key(d, name)] = isDir
	}
}

// displace removes whatever has the name, a whole directory if it must.
func (a *applier) displace(d *dir, name string) error {
	d.dirty = true
	err := d.fd.Unlink(name)
	switch {
	case err == nil && !a.dirs.aliases:
		return nil
	case err == nil, errors.Is(err, syscall.ENOENT):
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EPERM):
		if err := removeTree(d.fd, name); err != nil {
			return a.fail("replace directory", err)
		}
	default:
		return a.fail("replace what has its name", err)
	}
	return a.dirs.forget(d)
}

// removeTree removes name in d with everything below it.
func removeTree(d dirfd.Dir, name string) error {
	fd, err := d.Open(name)
	if err != nil {
		return err
	}
	names, err := fd.Names()
	if err != nil {
		return errors.Join(err, fd.Close())
	}
	for _, entry := range names {
		err := fd.Unlink(entry)
		if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EPERM) {
			err = removeTree(fd, entry)
		}
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return errors.Join(fmt.Errorf("remove %s: %w", printable(entry), err), fd.Close())
		}
	}
	if err := fd.Close(); err != nil {
		return err
	}
	return d.Rmdir(name)
}

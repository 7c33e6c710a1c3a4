package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"syscall"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// create makes the entry in a.hdr under the name base in parent.
func (a *applier) create(parent *dir, base string, r io.Reader) error {
	parent.dirty = true
	switch a.hdr.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return a.file(parent, base, r)
	case tar.TypeDir:
		return a.directory(parent, base)
	case tar.TypeSymlink:
		if a.hdr.Linkname == "" {
			return a.fail("a symbolic link must have a target", ErrMalformed)
		}
		return a.special(parent, base, false, func() error {
			return parent.fd.Symlink(a.hdr.Linkname, base)
		})
	case tar.TypeLink:
		return a.link(parent, base)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return a.node(parent, base)
	}
	return a.fail(fmt.Sprintf("it has the unknown type %q", a.hdr.Typeflag), ErrMalformed)
}

// place runs a call that makes a name, and runs it again after removing what has
// the name already. In the common case nothing has.
func (a *applier) place(parent *dir, base string, call func() error) error {
	err := call()
	if errors.Is(err, syscall.EEXIST) {
		if err := a.displace(parent, base); err != nil {
			return err
		}
		err = call()
	}
	var entryErr *EntryError
	switch {
	case errors.As(err, &entryErr):
		return err
	case err != nil:
		return a.fail("create", err)
	}
	a.made(parent, base, false)
	return nil
}

// file makes a regular file.
func (a *applier) file(parent *dir, base string, r io.Reader) error {
	const createPerm = 0o777 // setuid bits come last, when the content is there
	perm := a.perm()
	var f dirfd.File
	err := a.place(parent, base, func() (err error) {
		f, err = parent.fd.Create(base, perm&createPerm)
		return err
	})
	if err != nil {
		return err
	}
	err = a.content(f, r)
	if err == nil {
		err = a.fileMetadata(f, parent.inherits, perm, perm&createPerm&^a.umask)
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = a.fail("close", closeErr)
	}
	if err != nil {
		return err
	}
	return a.setTime(parent, base)
}

// fileMetadata sets what creation did not: made is the mode f was born with.
func (a *applier) fileMetadata(f dirfd.File, inherited bool, perm, made uint32) error {
	chown := inherited || !a.owned()
	if inherited {
		if err := ignoreAbsent(f.RemoveXattr(accessACLName)); err != nil {
			return a.fail("remove the inherited ACL", err)
		}
	}
	if chown {
		if err := f.Chown(a.owner()); err != nil {
			return a.fail("change owner", err)
		}
	}
	if inherited || perm != made {
		if err := f.Chmod(perm); err != nil {
			return a.fail("change mode", err)
		}
	}
	return a.setXattrs(f.SetXattr)
}

// content copies the file's bytes, a large write at a time.
func (a *applier) content(f dirfd.File, r io.Reader) error {
	if a.hdr.Size == 0 {
		return nil
	}
	a.done.Bytes += a.hdr.Size
	if sparse(a.hdr) {
		return a.sparseContent(f, r)
	}
	for left := a.hdr.Size; left > 0; {
		n, err := io.ReadFull(r, a.buf[:min(left, int64(len(a.buf)))])
		if err != nil {
			return a.cut(err)
		}
		if _, err := f.Write(a.buf[:n]); err != nil {
			return a.fail("write", err)
		}
		if left -= int64(n); left > 0 && a.ctx.Err() != nil {
			return a.ctx.Err()
		}
	}
	return nil
}

// cut makes the error for content that ends before the size in the header.
func (a *applier) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return a.fail("read", ErrTruncated)
	}
	return a.fail("read", err)
}

// directory makes a directory, or gives one that is there the entry's metadata.
func (a *applier) directory(parent *dir, base string) error {
	perm := a.perm()
	err := parent.fd.Mkdir(base, perm&0o777)
	if errors.Is(err, syscall.EEXIST) {
		fd, openErr := parent.fd.Open(base)
		if openErr == nil {
			return a.refreshDirectory(parent, base, fd)
		}
		// A link to a directory is replaced too: the layer says directory.
		if !errors.Is(openErr, syscall.ELOOP) && !errors.Is(openErr, syscall.ENOTDIR) {
			return a.fail("open", openErr)
		}
		if err := a.displace(parent, base); err != nil {
			return err
		}
		err = parent.fd.Mkdir(base, perm&0o777)
	}
	if err != nil {
		return a.fail("create", err)
	}
	a.made(parent, base, true)
	if _, ok := a.hdr.PAXRecords[xattrRecord+defaultACLName]; ok {
		a.defaultACL = true
	}
	return a.entryMetadata(parent, base, perm, perm&0o777&^a.umask)
}

// refreshDirectory gives a directory that exists all metadata of the entry.
func (a *applier) refreshDirectory(parent *dir, base string, fd dirfd.Dir) (err error) {
	defer func() { err = errors.Join(err, fd.Close()) }()
	if !parent.fresh {
		key := a.key(parent, base)
		fresh := a.own[key]
		a.own[key] = fresh // listed from now on
	}
	if err := a.ownMetadata(fd); err != nil {
		return err
	}
	// When it is open, the cache must know its new time and properties.
	if d := a.dirs.get(joinName(parent.path, base)); d != nil && d.path == joinName(parent.path, base) {
		return a.reread(d)
	}
	return nil
}

// ownMetadata gives the open directory fd the entry's metadata.
func (a *applier) ownMetadata(fd dirfd.Dir) error {
	if err := fd.Chown(a.owner()); err != nil {
		return a.fail("change owner", err)
	}
	if err := fd.Chmod(a.perm()); err != nil {
		return a.fail("change mode", err)
	}
	if err := clearXattrs(fd, a.hdr.PAXRecords); err != nil {
		return a.fail("remove extended attributes", err)
	}
	if err := a.setXattrs(fd.SetXattr); err != nil {
		return err
	}
	if err := fd.SetOwnTime(dirfd.TimeOf(a.hdr.ModTime)); err != nil {
		return a.fail("set times", err)
	}
	return nil
}

// reread takes over the metadata of d that the entry has just set.
func (a *applier) reread(d *dir) error {
	st, err := d.fd.Stat()
	if err != nil {
		return a.fail("stat", err)
	}
	d.mtime, d.dirty = dirfd.TimeOf(a.hdr.ModTime), true
	return d.probe(&st, true)
}

// rootEntry gives the top directory the entry's metadata.
func (a *applier) rootEntry() error {
	if a.hdr.Typeflag != tar.TypeDir {
		return a.fail("the root of a layer must be a directory", ErrMalformed)
	}
	if err := a.checkHeader(); err != nil {
		return err
	}
	if err := a.ownMetadata(a.dirs.root.fd); err != nil {
		return err
	}
	return a.reread(a.dirs.root)
}

// link makes a hard link to a name in the root.
func (a *applier) link(parent *dir, base string) error {
	target, err := a.cleanName(a.hdr.Linkname)
	if err != nil {
		return a.hostile("its link target " + printable(a.hdr.Linkname) + " leaves the root or is too long")
	}
	if target == "" {
		return a.fail("a hard link to the root directory is impossible", ErrMalformed)
	}
	targetDir, targetBase := splitName(target)
	call := func() error {
		from, err := a.parent(targetDir, false)
		if err != nil {
			return err
		}
		if from == parent && targetBase == base {
			return nil
		}
		return parent.fd.Link(from.fd, targetBase, base)
	}
	err = a.place(parent, base, call)
	switch {
	case errors.Is(err, errAbsent), errors.Is(err, syscall.ENOENT):
		return a.fail("its link target "+printable(a.hdr.Linkname)+" does not exist", ErrMalformed)
	case errors.Is(err, syscall.EPERM):
		return a.fail("its link target "+printable(a.hdr.Linkname)+" cannot have hard links", ErrMalformed)
	}
	return err
}

// node makes a device or a fifo.
func (a *applier) node(parent *dir, base string) error {
	mode := map[byte]uint32{
		tar.TypeChar: dirfd.TypeChar, tar.TypeBlock: dirfd.TypeBlock, tar.TypeFifo: dirfd.TypeFifo,
	}[a.hdr.Typeflag]
	if a.hdr.Typeflag != tar.TypeFifo && a.limits.NoDevices {
		return a.hostile("it is a device, which the limits forbid")
	}
	const maxMajor, maxMinor = 1<<12 - 1, 1<<20 - 1 // the kernel's dev_t
	if a.hdr.Devmajor < 0 || a.hdr.Devmajor > maxMajor || a.hdr.Devminor < 0 || a.hdr.Devminor > maxMinor {
		return a.hostile("its device number is out of range")
	}
	return a.special(parent, base, true, func() error {
		major, minor := uint32(a.hdr.Devmajor), uint32(a.hdr.Devminor)
		return parent.fd.Mknod(base, mode|a.perm()&0o777, major, minor)
	})
}

// special makes what has neither content nor entries.
func (a *applier) special(parent *dir, base string, hasMode bool, call func() error) error {
	if err := a.place(parent, base, call); err != nil {
		return err
	}
	perm, made := uint32(0), uint32(0)
	if hasMode {
		perm, made = a.perm(), a.perm()&0o777&^a.umask
	}
	if parent.inherits && hasMode {
		made = ^uint32(0)
	}
	return a.entryMetadata(parent, base, perm, made)
}

// entryMetadata sets what creation did not of an entry other than a regular file:
// made is the mode it was born with.
func (a *applier) entryMetadata(parent *dir, base string, perm, made uint32) error {
	isLink := a.hdr.Typeflag == tar.TypeSymlink
	if parent.inherits && !isLink {
		for _, acl := range []string{accessACLName, defaultACLName} {
			if err := ignoreAbsent(parent.fd.RemoveEntryXattr(base, acl)); err != nil {
				return a.fail("remove the inherited ACL", err)
			}
		}
		made = ^uint32(0)
	}
	if parent.inherits || !a.owned() {
		uid, gid := a.owner()
		if err := parent.fd.ChownEntry(base, uid, gid); err != nil {
			return a.fail("change owner", err)
		}
	}
	if perm != made && !isLink {
		if err := parent.fd.ChmodEntry(base, perm); err != nil {
			return a.fail("change mode", err)
		}
	}
	err := a.setXattrs(func(name string, value []byte) error {
		return parent.fd.SetEntryXattr(base, name, value)
	})
	if err != nil {
		return err
	}
	return a.setTime(parent, base)
}

func (a *applier) setTime(parent *dir, base string) error {
	if err := parent.fd.SetTime(base, dirfd.TimeOf(a.hdr.ModTime)); err != nil {
		return a.fail("set times", err)
	}
	return nil
}

func (a *applier) perm() uint32 { return uint32(a.hdr.Mode & 0o7777) }

func (a *applier) owner() (uid, gid uint32) {
	return uint32(a.hdr.Uid), uint32(a.hdr.Gid)
}

// owned says whether new files have the entry's owner from birth.
func (a *applier) owned() bool {
	uid, gid := a.owner()
	return uid == a.uid && gid == a.gid
}

// key is where own keeps name of d.
func (a *applier) key(d *dir, name string) uint64 { return a.keyOf(d.ino, name) }

func (a *applier) keyOf(ino uint64, name string) uint64 {
	return maphash.Comparable(a.seed, struct {
		ino  uint64
		name string
	}{ino, name})
}

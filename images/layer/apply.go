package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// Root is a tree to work on: the descriptor of its top directory, which may be an
// O_PATH one.
type Root interface{ FD() int }

// ApplyOptions change how Apply works. The zero value is what images need.
type ApplyOptions struct {
	// Limits bound the layer; the zero value stands for the defaults.
	Limits Limits
	// Warn, when set, hears of things left out: what, in one sentence.
	Warn func(message string)
}

// Applied counts what Apply did.
type Applied struct {
	Entries int64 // tar entries, whiteouts included
	Bytes   int64 // sizes of the files written, holes included
}

// copyBuffer is how much file content goes to the kernel in one write. Most files
// of an image are smaller and take one.
const copyBuffer = 1 << 18

// Apply unpacks the uncompressed layer r into root, and reads r to its end.
//
// It needs the rights to make what the layer holds: root, unless all entries
// belong to the caller. An extended attribute that the filesystem or the kernel
// does not support is left out with a warning, except security.capability, whose
// loss would break a program silently. After an error the tree is in between and
// of no use.
func Apply(ctx context.Context, root Root, r io.Reader, opts ApplyOptions) (Applied, error) {
	a := &applier{
		ctx:    ctx,
		limits: opts.Limits.withDefaults(),
		warn:   opts.Warn,
		umask:  dirfd.Umask(),
		uid:    uint32(os.Geteuid()),
		gid:    uint32(os.Getegid()),
		buf:    make([]byte, copyBuffer),
		own:    map[uint64]bool{},
		seed:   maphash.MakeSeed(),
	}
	if a.warn == nil {
		a.warn = func(string) {}
	}
	if err := a.open(root); err != nil {
		return Applied{}, err
	}
	err := a.all(r)
	return a.done, errors.Join(err, a.dirs.close())
}

// applier holds the state of one Apply.
type applier struct {
	ctx      context.Context
	limits   Limits
	warn     func(string)
	umask    uint32
	uid, gid uint32 // what new files belong to
	buf      []byte
	dirs     *dirs
	done     Applied

	hdr *tar.Header // the entry in work

	// base is true when the root was empty: nothing lies below this layer, so there
	// is nothing to keep track of.
	base bool
	// own holds the names this layer put into directories that were there before
	// it; true for directories it made. Whiteouts spare them. The key is hash(inode
	// of the parent, name): names alone would cost too much in a large layer.
	own  map[uint64]bool
	seed maphash.Seed

	// defaultACL is set once a directory of this layer has a default ACL, which new
	// files would inherit.
	defaultACL bool
}

func (a *applier) open(root Root) error {
	fd, err := dirfd.OpenRoot(root.FD())
	if err != nil {
		return fmt.Errorf("open the root of the tree: %w", err)
	}
	empty, err := fd.Empty()
	if err != nil {
		return errors.Join(fmt.Errorf("list the root of the tree: %w", err), fd.Close())
	}
	a.base = empty
	a.dirs, err = newDirs(fd, empty)
	return err
}

// all applies every entry and reads what follows the archive, so that a digest of
// r covers all of it.
func (a *applier) all(r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names are checked here
			return tarError(err)
		}
		a.hdr = hdr
		a.done.Entries++
		if a.done.Entries > a.limits.Entries {
			return a.hostile(fmt.Sprintf("the layer has more than %d entries", a.limits.Entries))
		}
		if err := a.dirs.trim(); err != nil {
			return err
		}
		if err := a.entry(tr); err != nil {
			return err
		}
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, a.buf); err != nil {
		return endsEarly(err)
	}
	return a.dirs.flush()
}

// tarError names the class of an error of the tar reader.
func tarError(err error) error {
	if errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("the layer is not a valid tar archive: %w", ErrMalformed)
	}
	return endsEarly(err)
}

// entry applies the entry in a.hdr, whose content is r.
func (a *applier) entry(r io.Reader) error {
	if a.hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := a.cleanName(a.hdr.Name)
	if err != nil {
		return err
	}
	if name == "" {
		return a.rootEntry()
	}
	dir, base := splitName(name)
	if aufs, other := reserved(dir); aufs || strings.HasPrefix(base, aufsPrefix) && base != opaqueName {
		return nil
	} else if other {
		return a.hostile("it lies in a directory with a name reserved for whiteouts")
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return a.whiteout(dir, base)
	}
	if err := a.checkHeader(); err != nil {
		return err
	}
	parent, err := a.parent(dir, true)
	if err != nil {
		return err
	}
	return a.create(parent, base, r)
}

// checkHeader refuses numbers that cannot be meant or exceed a limit.
func (a *applier) checkHeader() error {
	const noID = 1<<32 - 1 // to chown, -1 means "leave as it is"
	hdr := a.hdr
	if hdr.Uid < 0 || hdr.Uid >= noID || hdr.Gid < 0 || hdr.Gid >= noID {
		return a.hostile("its owner is out of range")
	}
	if hdr.Size < 0 || hdr.Size > a.limits.Bytes-a.done.Bytes {
		return a.hostile(fmt.Sprintf("the layer unpacks to more than %d bytes", a.limits.Bytes))
	}
	if len(hdr.Linkname) > a.limits.PathBytes {
		return a.hostile("its link target is too long")
	}
	return nil
}

// hostile makes the error for the entry in work.
func (a *applier) hostile(reason string) error { return a.fail(reason, ErrHostile) }

// fail makes an error for the entry in work out of the cause.
func (a *applier) fail(reason string, err error) error {
	return &EntryError{Name: a.hdr.Name, Reason: reason, Err: err}
}

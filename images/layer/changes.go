package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// Kind says how a name differs between two trees.
type Kind string

// The kinds of a change, with the letters that tools print for them.
const (
	Added    Kind = "A"
	Modified Kind = "C"
	Deleted  Kind = "D"
)

// Change is one name that differs.
type Change struct {
	Kind Kind
	Path string // from the root, without a leading slash; "" is the root itself
	// Size is the bytes of a regular file in the upper tree, else 0.
	Size int64

	stat dirfd.Stat // in the upper tree
}

// DiffOptions change how two trees are compared.
type DiffOptions struct {
	// SameFilesystem promises that both trees are block snapshots with a common
	// origin. A file with equal inode number and ctime is then the same file and is
	// not read.
	SameFilesystem bool
	// Warn, when set, hears of things left out: what, in one sentence.
	Warn func(message string)
}

// Changes lists what differs in upper from lower, in the order of a walk with the
// names of each directory sorted. Directories on the way to a change are listed
// as modified, but for the root. All names of a hard-linked file are listed when one is. Sockets
// count as absent. The trees must not change meanwhile.
//
// Compared are type, permissions, owner, modification time, link count (not of
// directories), link target, device number, extended attributes (without those
// the machine's security policy writes) and content.
func Changes(ctx context.Context, lower, upper Root, opts DiffOptions) ([]Change, error) {
	c := &comparison{ctx: ctx, opts: opts}
	if c.opts.Warn == nil {
		c.opts.Warn = func(string) {}
	}
	if err := c.run(lower, upper); err != nil {
		return nil, err
	}
	if forced := c.brokenLinks(); len(forced) > 0 {
		c.forced = forced
		c.opts.Warn = func(string) {} // said in the first run
		if err := c.run(lower, upper); err != nil {
			return nil, err
		}
	}
	return c.changes, nil
}

// comparison holds the state of one Changes.
type comparison struct {
	ctx     context.Context
	opts    DiffOptions
	changes []Change
	links   map[uint64][]linkName // hard-linked files of upper, by inode number
	forced  map[string]bool       // names that count as modified
	a, b    []byte                // buffers to compare content
}

// linkName is one name of a hard-linked file.
type linkName struct {
	path    string
	lower   uint64 // inode number that the name has in the lower tree, 0 for none
	changed bool
}

func (c *comparison) run(lower, upper Root) error {
	c.changes, c.links = nil, map[uint64][]linkName{}
	low, err := dirfd.OpenRoot(lower.FD())
	if err != nil {
		return fmt.Errorf("open the root of the lower tree: %w", err)
	}
	defer func() { _ = low.Close() }()
	up, err := dirfd.OpenRoot(upper.FD())
	if err != nil {
		return fmt.Errorf("open the root of the upper tree: %w", err)
	}
	defer func() { _ = up.Close() }()
	lowStat, err := low.Stat()
	if err != nil {
		return err
	}
	upStat, err := up.Stat()
	if err != nil {
		return err
	}
	return c.bothDirs("", low, up, &lowStat, &upStat)
}

// brokenLinks finds names that did not change by themselves but are hard links of
// a file some other name of which did. A layer has to hold all names of a file,
// or the link would be lost.
func (c *comparison) brokenLinks() map[string]bool {
	forced := map[string]bool{}
	for _, names := range c.links {
		whole := true
		for _, n := range names {
			whole = whole && !n.changed && n.lower == names[0].lower
		}
		for _, n := range names {
			if !whole && !n.changed {
				forced[n.path] = true
			}
		}
	}
	return forced
}

// bothDirs compares a directory that both trees have.
func (c *comparison) bothDirs(path string, low, up dirfd.Dir, lowStat, upStat *dirfd.Stat) error {
	changed, err := c.dirChanged(low, up, lowStat, upStat)
	if err != nil {
		return c.fail(path, err)
	}
	mark := len(c.changes)
	c.changes = append(c.changes, Change{Kind: Modified, Path: path, stat: *upStat})
	lowNames, err := sortedNames(low)
	if err != nil {
		return c.fail(path, err)
	}
	upNames, err := sortedNames(up)
	if err != nil {
		return c.fail(path, err)
	}
	for len(lowNames)+len(upNames) > 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		switch {
		case len(upNames) == 0 || len(lowNames) > 0 && lowNames[0] < upNames[0]:
			err = c.lowerOnly(joinName(path, lowNames[0]), low, lowNames[0])
			lowNames = lowNames[1:]
		case len(lowNames) == 0 || upNames[0] < lowNames[0]:
			err = c.upperOnly(joinName(path, upNames[0]), up, upNames[0])
			upNames = upNames[1:]
		default:
			err = c.both(joinName(path, upNames[0]), low, up, upNames[0])
			lowNames, upNames = lowNames[1:], upNames[1:]
		}
		if err != nil {
			return err
		}
	}
	if !changed && (path == "" || len(c.changes) == mark+1) {
		c.changes = slices.Delete(c.changes, mark, mark+1)
	}
	return nil
}

func sortedNames(d dirfd.Dir) ([]string, error) {
	names, err := d.Names()
	slices.Sort(names)
	return names, err
}

// lowerOnly notes a name that is gone.
func (c *comparison) lowerOnly(path string, low dirfd.Dir, name string) error {
	st, err := low.StatEntry(name)
	if err != nil {
		return c.fail(path, err)
	}
	if st.Type() != dirfd.TypeSocket {
		c.changes = append(c.changes, Change{Kind: Deleted, Path: path})
	}
	return nil
}

// upperOnly notes a new name and everything below it.
func (c *comparison) upperOnly(path string, up dirfd.Dir, name string) error {
	st, err := up.StatEntry(name)
	if err != nil {
		return c.fail(path, err)
	}
	return c.add(Added, path, up, name, &st, 0)
}

// add notes a name of the upper tree that a layer has to hold, and everything
// below it.
func (c *comparison) add(kind Kind, path string, up dirfd.Dir, name string, st *dirfd.Stat, lowerIno uint64) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if st.Type() == dirfd.TypeSocket {
		c.opts.Warn(fmt.Sprintf("socket %q left out: layers hold none", path))
		return nil
	}
	if strings.HasPrefix(name, whiteoutPrefix) {
		return c.fail(path, ErrReservedName)
	}
	c.note(path, st, lowerIno, true)
	change := Change{Kind: kind, Path: path, stat: *st}
	if st.Type() == dirfd.TypeRegular {
		change.Size = st.Size
	}
	c.changes = append(c.changes, change)
	if !st.IsDir() {
		return nil
	}
	fd, err := up.Open(name)
	if err != nil {
		return c.fail(path, err)
	}
	defer func() { _ = fd.Close() }()
	names, err := sortedNames(fd)
	if err != nil {
		return c.fail(path, err)
	}
	for _, name := range names {
		if err := c.upperOnly(joinName(path, name), fd, name); err != nil {
			return err
		}
	}
	return nil
}

// note remembers a name of a file that may have others.
func (c *comparison) note(path string, st *dirfd.Stat, lowerIno uint64, changed bool) {
	if !st.IsDir() && st.Links > 1 {
		c.links[st.Ino] = append(c.links[st.Ino], linkName{path, lowerIno, changed})
	}
}

// both compares a name that both trees have.
func (c *comparison) both(path string, low, up dirfd.Dir, name string) error {
	lowStat, err := low.StatEntry(name)
	if err != nil {
		return c.fail(path, err)
	}
	upStat, err := up.StatEntry(name)
	if err != nil {
		return c.fail(path, err)
	}
	switch {
	case upStat.Type() == dirfd.TypeSocket && lowStat.Type() != dirfd.TypeSocket:
		c.opts.Warn(fmt.Sprintf("socket %q left out: layers hold none", path))
		c.changes = append(c.changes, Change{Kind: Deleted, Path: path})
		return nil
	case upStat.Type() == dirfd.TypeSocket:
		return nil
	case lowStat.Type() != upStat.Type():
		return c.add(Modified, path, up, name, &upStat, 0)
	case upStat.IsDir():
		lowDir, err := low.Open(name)
		if err != nil {
			return c.fail(path, err)
		}
		defer func() { _ = lowDir.Close() }()
		upDir, err := up.Open(name)
		if err != nil {
			return c.fail(path, err)
		}
		defer func() { _ = upDir.Close() }()
		return c.bothDirs(path, lowDir, upDir, &lowStat, &upStat)
	}
	changed := c.forced[path]
	if !changed {
		if changed, err = c.fileChanged(low, up, name, &lowStat, &upStat); err != nil {
			return c.fail(path, err)
		}
	}
	if changed {
		return c.add(Modified, path, up, name, &upStat, lowStat.Ino)
	}
	c.note(path, &upStat, lowStat.Ino, false)
	return nil
}

// untouched says that two files are one and the same by inode number and ctime,
// which the kernel sets at every change and nobody else can.
func (c *comparison) untouched(low, up *dirfd.Stat) bool {
	return c.opts.SameFilesystem && low.Ino == up.Ino && low.Ctime == up.Ctime
}

// metadataDiffers compares what stat tells.
func metadataDiffers(low, up *dirfd.Stat) bool {
	return low.Mode != up.Mode || low.UID != up.UID || low.GID != up.GID || low.Mtime != up.Mtime
}

func (c *comparison) dirChanged(low, up dirfd.Dir, lowStat, upStat *dirfd.Stat) (bool, error) {
	if c.untouched(lowStat, upStat) {
		return false, nil
	}
	if metadataDiffers(lowStat, upStat) {
		return true, nil
	}
	return xattrsDiffer(low.Xattrs, up.Xattrs)
}

// fileChanged compares two files of one type, not directories.
func (c *comparison) fileChanged(low, up dirfd.Dir, name string, lowStat, upStat *dirfd.Stat) (bool, error) {
	if c.untouched(lowStat, upStat) {
		return false, nil
	}
	if metadataDiffers(lowStat, upStat) || lowStat.Links != upStat.Links || lowStat.Size != upStat.Size ||
		lowStat.Major != upStat.Major || lowStat.Minor != upStat.Minor {
		return true, nil
	}
	differ, err := xattrsDiffer(
		func() (map[string][]byte, error) { return low.EntryXattrs(name) },
		func() (map[string][]byte, error) { return up.EntryXattrs(name) })
	if differ || err != nil {
		return differ, err
	}
	switch upStat.Type() {
	case dirfd.TypeRegular:
		return c.contentDiffers(low, up, name)
	case dirfd.TypeSymlink:
		lowTarget, err := low.Readlink(name)
		if err != nil {
			return false, err
		}
		upTarget, err := up.Readlink(name)
		return lowTarget != upTarget, err
	}
	return false, nil
}

func xattrsDiffer(low, up func() (map[string][]byte, error)) (bool, error) {
	lowMap, err := low()
	if err != nil {
		return false, err
	}
	upMap, err := up()
	if err != nil {
		return false, err
	}
	foreign := func(name string, _ []byte) bool { return !carried(name) }
	maps.DeleteFunc(lowMap, foreign)
	maps.DeleteFunc(upMap, foreign)
	return !maps.EqualFunc(lowMap, upMap, bytes.Equal), nil
}

func (c *comparison) contentDiffers(low, up dirfd.Dir, name string) (differ bool, err error) {
	lowFile, err := low.OpenFile(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = lowFile.Close() }()
	upFile, err := up.OpenFile(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = upFile.Close() }()
	if c.a == nil {
		c.a, c.b = make([]byte, copyBuffer), make([]byte, copyBuffer)
	}
	for {
		n, lowErr := io.ReadFull(lowFile, c.a)
		m, upErr := io.ReadFull(upFile, c.b)
		if !bytes.Equal(c.a[:n], c.b[:m]) {
			return true, nil
		}
		switch {
		case lowErr == nil && upErr == nil:
		case ended(lowErr) && ended(upErr):
			return false, nil
		case ended(lowErr) || lowErr == nil:
			return false, upErr
		default:
			return false, lowErr
		}
		if err := c.ctx.Err(); err != nil {
			return false, err
		}
	}
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (c *comparison) fail(path string, err error) error {
	return fmt.Errorf("compare %s: %w", printable("/"+path), err)
}

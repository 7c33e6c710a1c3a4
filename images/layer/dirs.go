package layer

import (
	"container/list"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// openDirs is how many directories stay open between entries. Tars list a
// directory's entries together, so a few levels are what is needed; the rest
// saves opening again what lies beside.
const openDirs = 128

// dir is an open directory of the tree.
type dir struct {
	fd   dirfd.Dir
	path string // from the root, without links; "" for the root
	ino  uint64
	// fresh: this layer made it, so all of its content is this layer's.
	fresh bool
	// inherits: what is made inside takes a group or ACLs from it.
	inherits bool
	depth    int

	// The time it has to have. The kernel changes it with each entry made inside
	// (dirty), so it is set again when the directory leaves the cache.
	mtime dirfd.Time
	dirty bool

	elem *list.Element
	keys []string // under which it stands in dirs.byPath
}

// dirs is a write-back cache of open directories, by the path that an entry
// names them with. A path that leads over symbolic links is an alias of the
// directory it ends at.
type dirs struct {
	root    *dir
	byPath  map[string]*dir
	recent  *list.List // front is the latest
	aliases bool
}

// newDirs takes over root.
func newDirs(root dirfd.Dir, fresh bool) (*dirs, error) {
	c := &dirs{byPath: map[string]*dir{}, recent: list.New()}
	st, err := root.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("stat the root of the tree: %w", err), root.Close())
	}
	c.root = &dir{fd: root, ino: st.Ino, fresh: fresh, mtime: st.Mtime}
	return c, c.root.probe(&st, !fresh)
}

// probe learns whether files made in d inherit anything.
func (d *dir) probe(st *dirfd.Stat, acl bool) error {
	const setgid = 0o2000
	d.inherits = st.Mode&setgid != 0
	if !acl || d.inherits {
		return nil
	}
	names, err := d.fd.XattrNames()
	if err != nil {
		return fmt.Errorf("list the extended attributes of directory %q: %w", d.path, err)
	}
	for _, name := range names {
		if name == defaultACLName {
			d.inherits = true
		}
	}
	return nil
}

// get finds an open directory by the path an entry used.
func (c *dirs) get(path string) *dir {
	if path == "" {
		return c.root
	}
	d := c.byPath[path]
	if d != nil {
		c.recent.MoveToFront(d.elem)
	}
	return d
}

// add keeps d under its own path.
func (c *dirs) add(d *dir) {
	d.elem = c.recent.PushFront(d)
	c.byPath[d.path] = d
	d.keys = append(d.keys, d.path)
}

// alias lets path find d too.
func (c *dirs) alias(path string, d *dir) {
	if d == c.root || path == d.path {
		return
	}
	c.byPath[path] = d
	d.keys = append(d.keys, path)
	c.aliases = true
}

// trim closes the directories not used for longest until few enough are open. It
// is called between entries only: pointers to dirs live no longer than one.
func (c *dirs) trim() error {
	for c.recent.Len() > openDirs {
		if err := c.drop(c.recent.Back()); err != nil {
			return err
		}
	}
	return nil
}

// forget closes what a removal in d may have made wrong: every directory but d
// and those above it, and every alias. Pointers to other directories become
// invalid.
func (c *dirs) forget(d *dir) error {
	var errs []error
	for e := c.recent.Back(); e != nil; {
		other, prev := e.Value.(*dir), e.Prev()
		if other == d || strings.HasPrefix(d.path, other.path+"/") {
			c.keepOwnPath(other)
		} else {
			errs = append(errs, c.drop(e))
		}
		e = prev
	}
	c.aliases = false
	return errors.Join(errs...)
}

func (c *dirs) keepOwnPath(d *dir) {
	for _, key := range d.keys {
		delete(c.byPath, key)
	}
	c.byPath[d.path] = d
	d.keys = append(d.keys[:0], d.path)
}

// flush closes all directories but the root. Afterwards all times are right, and
// no path is remembered that a removal may have made wrong.
func (c *dirs) flush() error {
	var errs []error
	for e := c.recent.Back(); e != nil; e = c.recent.Back() {
		errs = append(errs, c.drop(e))
	}
	c.aliases = false
	return errors.Join(append(errs, c.root.restore())...)
}

// close flushes and closes the root.
func (c *dirs) close() error { return errors.Join(c.flush(), c.root.fd.Close()) }

func (c *dirs) drop(e *list.Element) error {
	d := e.Value.(*dir)
	c.recent.Remove(e)
	for _, key := range d.keys {
		if c.byPath[key] == d {
			delete(c.byPath, key)
		}
	}
	return errors.Join(d.restore(), d.fd.Close())
}

// restore sets the time that entries made inside have changed.
func (d *dir) restore() error {
	if !d.dirty {
		return nil
	}
	// ENOENT: the layer has removed it since.
	if err := d.fd.SetOwnTime(d.mtime); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("set the times of directory %q: %w", d.path, err)
	}
	d.dirty = false
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A mark is all that tells whether a file was touched: nothing changes a file
// without changing its inode number or its status time.
type mark struct {
	mode, uid, gid uint32
	ino, rdev      uint64
	size           int64
	ctime          unix.Timespec
}

// A tree maps the paths of a folder, relative and with slashes, to their marks.
type tree map[string]mark

// keptOut are paths that belong to the making and not to an image. What is below
// a folder that ends in "/" is kept out, the folder is not.
var keptOut = []string{
	"dev/", "proc/", "sys/", "run/", "tmp/", "var/tmp/", "var/lib/apt/lists/", "var/cache/", "var/log/apt/",
	"etc/resolv.conf", "etc/hostname", "etc/machine-id", "usr/sbin/policy-rc.d",
	"var/log/dpkg.log", "var/log/bootstrap.log", "var/log/alternatives.log", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend",
}

func isKeptOut(rel string) bool {
	return slices.ContainsFunc(keptOut, func(out string) bool {
		if strings.HasSuffix(out, "/") {
			return strings.HasPrefix(rel, out)
		}
		return rel == out
	})
}

func readTree(root string) (tree, error) {
	t := tree{}
	err := filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, full)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if isKeptOut(rel) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(full, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: full, Err: err}
		}
		t[rel] = mark{st.Mode, st.Uid, st.Gid, st.Ino, st.Rdev, st.Size, st.Ctim}
		return nil
	})
	return t, err
}

// changes lists the paths that are new or touched, and those that are gone, each
// in order. What was below a folder that is gone is not listed.
func changes(before, after tree) (touched, gone []string) {
	for rel, m := range after {
		if old, ok := before[rel]; !ok || old != m {
			touched = append(touched, rel)
		}
	}
	for rel := range before {
		if _, ok := after[rel]; ok {
			continue
		}
		parent := path.Dir(rel)
		now, parentStays := after[parent]
		if parent == "." || parentStays && now.mode&unix.S_IFMT == unix.S_IFDIR {
			gone = append(gone, rel)
		}
	}
	slices.Sort(touched)
	slices.Sort(gone)
	return touched, gone
}

// extendedAttributes reads the attributes that an image layer carries.
func extendedAttributes(full string) (map[string]string, error) {
	size, err := unix.Llistxattr(full, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the attributes of %s: %w", full, err)
	}
	names := make([]byte, size)
	if size, err = unix.Llistxattr(full, names); err != nil {
		return nil, fmt.Errorf("list the attributes of %s: %w", full, err)
	}
	attributes := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:size]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && name != "security.capability" {
			continue
		}
		value := make([]byte, 64<<10) // the kernel's limit
		n, err := unix.Lgetxattr(full, name, value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", name, full, err)
		}
		attributes[name] = string(value[:n])
	}
	return attributes, nil
}

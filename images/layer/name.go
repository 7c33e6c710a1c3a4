package layer

import (
	"path"
	"strings"
)

// The names that the layer format reserves.
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	// aufsPrefix marks the book-keeping of a filesystem that old image tools ran
	// on. It is not content.
	aufsPrefix = ".wh..wh."
)

// nameMax is the kernel's NAME_MAX: the bytes of one component.
const nameMax = 255

// cleanName checks an entry's name and gives it relative to the root, without
// "." and "..", "" for the root itself. A leading slash means the root, as image
// builders that write absolute names mean it.
func (a *applier) cleanName(name string) (string, error) {
	if len(name) > a.limits.PathBytes {
		return "", a.hostile("its name is too long")
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", a.hostile("its name holds a NUL byte")
	}
	name = path.Clean(strings.TrimLeft(name, "/"))
	switch {
	case name == ".":
		return "", nil
	case name == "..", strings.HasPrefix(name, "../"):
		return "", a.hostile("its name leaves the root")
	}
	depth := 0
	for rest := name; ; depth++ {
		component, tail, more := strings.Cut(rest, "/")
		if len(strings.TrimPrefix(component, whiteoutPrefix)) > nameMax {
			return "", a.hostile("a component of its name is longer than 255 bytes")
		}
		if !more {
			break
		}
		rest = tail
	}
	if depth > a.limits.Depth {
		return "", a.hostile("it lies too deep")
	}
	return name, nil
}

// splitName splits a clean name into its parent, "" for the root, and its last
// component.
func splitName(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}

// joinName is the inverse of splitName.
func joinName(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

// reserved says how a directory part uses the reserved prefix: aufs for
// book-keeping to be left out, other for anything else.
func reserved(dir string) (aufs, other bool) {
	if !strings.Contains(dir, whiteoutPrefix) {
		return false, false
	}
	for component := range strings.SplitSeq(dir, "/") {
		switch {
		case strings.HasPrefix(component, aufsPrefix):
			aufs = true
		case strings.HasPrefix(component, whiteoutPrefix):
			other = true
		}
	}
	return aufs, other
}

// cutName splits off the first component.
func cutName(name string) (first, rest string) {
	first, rest, _ = strings.Cut(name, "/")
	return first, rest
}

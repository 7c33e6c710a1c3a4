package layer

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

const (
	// xattrRecord begins the PAX records that hold extended attributes.
	xattrRecord = "SCHILY.xattr."

	accessACLName  = "system.posix_acl_access"
	defaultACLName = "system.posix_acl_default"
	capabilityName = "security.capability"
)

// carried says whether an extended attribute is part of a file's content, to go
// into layers and to be replaced by them. The others belong to the machine: its
// security policy writes them.
func carried(name string) bool {
	switch {
	case name == accessACLName, name == defaultACLName, name == capabilityName:
		return true
	case strings.HasPrefix(name, "user."), strings.HasPrefix(name, "trusted."):
		return true
	case name == "security.selinux", name == "security.ima", name == "security.evm", name == "security.apparmor":
		return false
	}
	return strings.HasPrefix(name, "security.")
}

// setXattrs gives a file the entry's extended attributes.
func (a *applier) setXattrs(set func(name string, value []byte) error) error {
	total := 0
	for record, value := range a.hdr.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrRecord)
		if !ok {
			continue
		}
		if total += len(name) + len(value); total > a.limits.XattrBytes {
			return a.hostile(fmt.Sprintf("it has more than %d bytes of extended attributes", a.limits.XattrBytes))
		}
		err := set(name, []byte(value))
		switch {
		case err == nil:
		case name != capabilityName && unsupported(err):
			a.warn(fmt.Sprintf("layer entry %s: extended attribute %s left out: %v", printable(a.hdr.Name), printable(name), err))
		default:
			return a.fail("set extended attribute "+printable(name), err)
		}
	}
	return nil
}

// unsupported says whether the tree cannot hold an attribute at all: no such
// namespace (ENOTSUP), one that this file type (EPERM) or the security module
// (EINVAL) does not take. A full or too small place is another matter.
func unsupported(err error) bool {
	return errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL)
}

// clearXattrs removes the attributes of a directory that records do not set anew.
func clearXattrs(fd dirfd.Dir, records map[string]string) error {
	names, err := fd.XattrNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, stays := records[xattrRecord+name]; stays || !carried(name) {
			continue
		}
		if err := ignoreAbsent(fd.RemoveXattr(name)); err != nil {
			return err
		}
	}
	return nil
}

// ignoreAbsent takes "there was none" for success.
func ignoreAbsent(err error) error {
	if errors.Is(err, syscall.ENODATA) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

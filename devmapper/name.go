package devmapper

import (
	"fmt"
	"strings"
)

// Longest name and UUID in bytes; the kernel truncates longer ones silently
// (dm-ioctl.h, DM_NAME_LEN and DM_UUID_LEN less the NUL).
const (
	MaxNameLen = 127
	MaxUUIDLen = 128
)

// Name is a checked device name. Only NewName makes one.
type Name struct{ s string }

// UUID is a checked device UUID. Only NewUUID makes one; the zero value is none.
type UUID struct{ s string }

// NewName checks a device name: 1 to 127 bytes of [0-9A-Za-z#+.:=@_-], the
// characters that dmsetup and udev pass on as they are, and neither "." nor ".."
// nor "control", which would collide in /dev/mapper.
func NewName(s string) (Name, error) {
	if err := checkChars("device name", s, MaxNameLen); err != nil {
		return Name{}, err
	}
	if s == "." || s == ".." || s == "control" {
		return Name{}, fmt.Errorf("%w: device name %q is reserved", ErrInvalid, s)
	}
	return Name{s}, nil
}

// NewUUID checks a device UUID: 1 to 128 bytes of the characters of a name.
func NewUUID(s string) (UUID, error) {
	if err := checkChars("device UUID", s, MaxUUIDLen); err != nil {
		return UUID{}, err
	}
	return UUID{s}, nil
}

func (n Name) String() string { return n.s }
func (u UUID) String() string { return u.s }

// Path is where the device's node stands.
func (n Name) Path() string { return "/dev/mapper/" + n.s }

func checkChars(what, s string, most int) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("%w: %s %q has %d bytes, 1 to %d are possible", ErrInvalid, what, s, len(s), most)
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case strings.IndexByte("#+.:=@_-", c) >= 0:
		default:
			return fmt.Errorf("%w: %s %q holds %q; letters, digits and #+.:=@_- are possible", ErrInvalid, what, s, c)
		}
	}
	return nil
}

// Ref selects a device, by exactly one of name, UUID and device number. The zero
// Ref selects nothing and is refused.
type Ref struct {
	name Name
	uuid UUID
	dev  DevNo
}

// ByName selects the device of that name.
func ByName(n Name) Ref { return Ref{name: n} }

// ByUUID selects the device with that UUID.
func ByUUID(u UUID) Ref { return Ref{uuid: u} }

// ByDev selects the device with that number.
func ByDev(d DevNo) Ref { return Ref{dev: d} }

func (r Ref) String() string {
	switch {
	case r.name.s != "":
		return r.name.s
	case r.uuid.s != "":
		return r.uuid.s
	default:
		return r.dev.String()
	}
}

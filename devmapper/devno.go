package devmapper

import (
	"fmt"
	"strconv"
	"strings"
)

// DevNo is a device number. The zero value is no device.
type DevNo struct{ Major, Minor uint32 }

// IsZero reports whether d is no device.
func (d DevNo) IsZero() bool { return d == DevNo{} }

// String prints "major:minor". Tables refer to devices like this and never by
// path, so that no path needs quoting and no lookup can race.
func (d DevNo) String() string {
	return strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
}

// ParseDevNo reads "major:minor".
func ParseDevNo(s string) (DevNo, error) {
	major, minor, ok := strings.Cut(s, ":")
	a, err1 := strconv.ParseUint(major, 10, 12)
	b, err2 := strconv.ParseUint(minor, 10, 20)
	if !ok || err1 != nil || err2 != nil {
		return DevNo{}, fmt.Errorf("%w: %q is not a device number such as 253:0", ErrInvalid, s)
	}
	return DevNo{Major: uint32(a), Minor: uint32(b)}, nil
}

// huge is the kernel's huge_encode_dev (include/linux/kdev_t.h), which the control
// interface uses.
func (d DevNo) huge() uint64 {
	return uint64(d.Minor&0xff) | uint64(d.Major)<<8 | uint64(d.Minor&^0xff)<<12
}

func devNoFromHuge(v uint64) DevNo {
	return DevNo{
		Major: uint32(v&0xfff00) >> 8,
		Minor: uint32(v&0xff) | uint32(v>>12)&0xfff00,
	}
}

package uapi

import (
	"bytes"
	"fmt"
)

// Flags of a dm_name_list record's trailer, interface 4.44 and later.
const (
	nameListHasUUID = 1
	nameListNoUUID  = 2
)

// Name is one record of a ListDevices reply.
type Name struct {
	Dev     uint64
	Name    string
	EventNr uint32
	UUID    string // only when asked for with FlagUUID and the kernel can
}

// AppendNames appends records as the kernel replies to ListDevices:
//
//	struct dm_name_list { __u64 dev; __u32 next; char name[]; };
//	/* then, 8-aligned after the NUL: __u32 event_nr, __u32 flags, char uuid[] */
//
// An empty list is one record with dev 0.
func AppendNames(b []byte, names []Name, withUUID bool) []byte {
	if len(names) == 0 {
		return append(b, make([]byte, 16)...)
	}
	for i, n := range names {
		at := len(b)
		b = order.AppendUint64(b, n.Dev)
		b = order.AppendUint32(b, 0)
		b = AppendString(b, n.Name)
		b = pad8(b, at)
		b = order.AppendUint32(b, n.EventNr)
		switch {
		case withUUID && n.UUID != "":
			b = order.AppendUint32(b, nameListHasUUID)
			b = AppendString(b, n.UUID)
		case withUUID:
			b = order.AppendUint32(b, nameListNoUUID)
		default:
			b = order.AppendUint32(b, 0)
		}
		b = pad8(b, at)
		if i+1 < len(names) {
			order.PutUint32(b[at+8:], uint32(len(b)-at))
		}
	}
	return b
}

func pad8(b []byte, from int) []byte {
	return append(b, make([]byte, align8(len(b)-from)-(len(b)-from))...)
}

// ParseNames reads a ListDevices reply. withTrailer says that the kernel is new
// enough (4.37) to put the event number behind each name.
func ParseNames(data []byte, withTrailer bool) ([]Name, error) {
	var names []Name
	for at := 0; ; {
		s := data[at:]
		if len(s) < 13 {
			if at == 0 && len(s) == 0 {
				return nil, nil
			}
			return nil, fmt.Errorf("%w: name record %d has %d bytes", ErrMalformed, len(names), len(s))
		}
		n := Name{Dev: order.Uint64(s)}
		if n.Dev == 0 && len(names) == 0 {
			return nil, nil
		}
		next := int(order.Uint32(s[8:]))
		if next != 0 && (next < 13 || next > len(s)) {
			return nil, fmt.Errorf("%w: name record %d says the next one is %d bytes on", ErrMalformed, len(names), next)
		}
		rec := s
		if next != 0 {
			rec = s[:next]
		}
		end := bytes.IndexByte(rec[12:], 0)
		if end < 0 {
			return nil, fmt.Errorf("%w: name record %d has no end", ErrMalformed, len(names))
		}
		n.Name = string(rec[12 : 12+end])
		if tail := align8(12 + end + 1); withTrailer && tail+8 <= len(rec) {
			n.EventNr = order.Uint32(rec[tail:])
			if order.Uint32(rec[tail+4:])&nameListHasUUID != 0 {
				n.UUID = cString(rec[tail+8:])
			}
		}
		names = append(names, n)
		if next == 0 {
			return names, nil
		}
		at += next
	}
}

// TargetVersion is one record of a ListVersions or GetTargetVersion reply.
type TargetVersion struct {
	Name    string
	Version [3]uint32
}

// AppendVersions appends records as the kernel replies to ListVersions:
//
//	struct dm_target_versions { __u32 next; __u32 version[3]; char name[]; };
func AppendVersions(b []byte, versions []TargetVersion) []byte {
	for i, v := range versions {
		at := len(b)
		b = order.AppendUint32(b, 0)
		for _, n := range v.Version {
			b = order.AppendUint32(b, n)
		}
		b = pad8(AppendString(b, v.Name), at)
		if i+1 < len(versions) {
			order.PutUint32(b[at:], uint32(len(b)-at))
		}
	}
	return b
}

// ParseVersions reads a ListVersions or GetTargetVersion reply.
func ParseVersions(data []byte) ([]TargetVersion, error) {
	var versions []TargetVersion
	for at := 0; ; {
		s := data[at:]
		if len(s) < 17 {
			if at == 0 && len(s) == 0 {
				return nil, nil
			}
			return nil, fmt.Errorf("%w: version record %d has %d bytes", ErrMalformed, len(versions), len(s))
		}
		end := bytes.IndexByte(s[16:], 0)
		if end < 0 {
			return nil, fmt.Errorf("%w: version record %d has no end", ErrMalformed, len(versions))
		}
		v := TargetVersion{Name: string(s[16 : 16+end])}
		for i := range v.Version {
			v.Version[i] = order.Uint32(s[4+4*i:])
		}
		versions = append(versions, v)
		next := int(order.Uint32(s))
		if next == 0 {
			return versions, nil
		}
		if next < 17 || next > len(s) {
			return nil, fmt.Errorf("%w: version record says the next one is %d bytes on", ErrMalformed, next)
		}
		at += next
	}
}

// AppendDeps appends device numbers as the kernel replies to TableDeps:
//
//	struct dm_target_deps { __u32 count; __u32 padding; __u64 dev[]; };
func AppendDeps(b []byte, devs []uint64) []byte {
	b = order.AppendUint32(b, uint32(len(devs)))
	b = order.AppendUint32(b, 0)
	for _, d := range devs {
		b = order.AppendUint64(b, d)
	}
	return b
}

// ParseDeps reads a TableDeps reply.
func ParseDeps(data []byte) ([]uint64, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%w: dependency list of %d bytes", ErrMalformed, len(data))
	}
	count := uint64(order.Uint32(data))
	if count > uint64(len(data)-8)/8 {
		return nil, fmt.Errorf("%w: %d dependencies in %d bytes", ErrMalformed, count, len(data))
	}
	devs := make([]uint64, count)
	for i := range devs {
		devs[i] = order.Uint64(data[8+8*i:])
	}
	return devs, nil
}

package uapi

import (
	"bytes"
	"fmt"
)

// specSize is sizeof(struct dm_target_spec):
//
//	struct dm_target_spec {
//		__u64 sector_start; __u64 length; __s32 status;
//		__u32 next; char target_type[16];
//	};	/* then the parameters, NUL-terminated, padded to 8 */
const specSize = 40

// Target is one line of a table or of a status.
type Target struct {
	Start  uint64 // sectors
	Length uint64 // sectors
	Type   string
	Params string
}

// AppendTable appends targets as TableLoad takes them. The kernel reads next
// relative to its own spec here, and relative to the first one in replies.
func AppendTable(b []byte, targets []Target) ([]byte, error) {
	return appendTargets(b, targets, false)
}

// AppendStatus appends targets as the kernel replies to TableStatus.
func AppendStatus(b []byte, targets []Target) ([]byte, error) {
	return appendTargets(b, targets, true)
}

func appendTargets(b []byte, targets []Target, fromFirst bool) ([]byte, error) {
	base := len(b)
	for _, t := range targets {
		if len(t.Type) >= TypeNameLen {
			return nil, fmt.Errorf("%w: target type %q is longer than %d bytes", ErrMalformed, t.Type, TypeNameLen-1)
		}
		if i := bytes.IndexByte([]byte(t.Params), 0); i >= 0 {
			return nil, fmt.Errorf("%w: parameters of target %q hold a NUL", ErrMalformed, t.Type)
		}
		at := len(b)
		size := align8(specSize + len(t.Params) + 1)
		next := size
		if fromFirst {
			next = at + size - base
		}
		b = append(b, make([]byte, size)...)
		s := b[at:]
		order.PutUint64(s[0:], t.Start)
		order.PutUint64(s[8:], t.Length)
		order.PutUint32(s[20:], uint32(next))
		copy(s[24:], t.Type)
		copy(s[specSize:], t.Params)
	}
	return b, nil
}

// ParseTable reads count targets as TableLoad takes them.
func ParseTable(data []byte, count uint32) ([]Target, error) {
	return parseTargets(data, count, false)
}

// ParseStatus reads count targets from a TableStatus reply.
func ParseStatus(data []byte, count uint32) ([]Target, error) {
	return parseTargets(data, count, true)
}

func parseTargets(data []byte, count uint32, fromFirst bool) ([]Target, error) {
	if uint64(count)*specSize > uint64(len(data)) {
		return nil, fmt.Errorf("%w: %d targets in %d bytes", ErrMalformed, count, len(data))
	}
	targets := make([]Target, 0, count)
	for at := 0; len(targets) < int(count); {
		if at+specSize > len(data) {
			return nil, fmt.Errorf("%w: target %d at byte %d of %d", ErrMalformed, len(targets), at, len(data))
		}
		s := data[at:]
		next := int(order.Uint32(s[20:]))
		if fromFirst {
			next -= at
		}
		last := len(targets)+1 == int(count)
		if !last && (next < specSize || next > len(s)) {
			return nil, fmt.Errorf("%w: target %d says the next one is %d bytes on", ErrMalformed, len(targets), next)
		}
		params := s[specSize:]
		before, _, ok := bytes.Cut(params, []byte{0})
		if !ok {
			return nil, fmt.Errorf("%w: parameters of target %d have no end", ErrMalformed, len(targets))
		}
		targets = append(targets, Target{
			Start:  order.Uint64(s[0:]),
			Length: order.Uint64(s[8:]),
			Type:   cString(s[24 : 24+TypeNameLen]),
			Params: string(before),
		})
		at += next
	}
	return targets, nil
}

// AppendMessage appends a target message: the sector that selects the target, then the text.
func AppendMessage(b []byte, sector uint64, text string) ([]byte, error) {
	if bytes.IndexByte([]byte(text), 0) >= 0 {
		return nil, fmt.Errorf("%w: message holds a NUL", ErrMalformed)
	}
	b = order.AppendUint64(b, sector)
	return append(append(b, text...), 0), nil
}

// ParseMessage reads a target message.
func ParseMessage(data []byte) (sector uint64, text string, err error) {
	if len(data) < 9 || bytes.IndexByte(data[8:], 0) < 0 {
		return 0, "", fmt.Errorf("%w: message of %d bytes", ErrMalformed, len(data))
	}
	return order.Uint64(data), cString(data[8:]), nil
}

// AppendString appends a NUL-terminated string, as DevRename takes and TargetMessage returns one.
func AppendString(b []byte, s string) []byte { return append(append(b, s...), 0) }

// ParseString reads a NUL-terminated string.
func ParseString(data []byte) (string, error) {
	if bytes.IndexByte(data, 0) < 0 {
		return "", fmt.Errorf("%w: string of %d bytes has no end", ErrMalformed, len(data))
	}
	return cString(data), nil
}

package uapi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes and limits of struct dm_ioctl.
const (
	HeaderSize  = 312 // sizeof(struct dm_ioctl), where we start the payload
	DataOffset  = 305 // offsetof(struct dm_ioctl, data): what the kernel copies back when there is no payload
	NameLen     = 128 // DM_NAME_LEN, with the NUL
	UUIDLen     = 129 // DM_UUID_LEN, with the NUL
	TypeNameLen = 16  // DM_MAX_TYPE_NAME, with the NUL
)

const (
	offName = 48
	offUUID = 176
)

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed device-mapper data")

var order = binary.NativeEndian

// Header is struct dm_ioctl without its payload:
//
//	struct dm_ioctl {
//		__u32 version[3]; __u32 data_size; __u32 data_start;
//		__u32 target_count; __s32 open_count; __u32 flags;
//		__u32 event_nr; __u32 padding; __u64 dev;
//		char name[128]; char uuid[129]; char data[7];
//	};
type Header struct {
	Version     [3]uint32
	DataSize    uint32
	DataStart   uint32
	TargetCount uint32
	OpenCount   int32
	Flags       Flags
	EventNr     uint32
	Dev         uint64 // huge_encode_dev
	Name        string
	UUID        string
}

// Put writes the header into the first HeaderSize bytes of b. Name and uuid that
// do not fit with their NUL are an error: the kernel would cut them silently.
func (h *Header) Put(b []byte) error {
	if len(b) < HeaderSize {
		return fmt.Errorf("%w: buffer of %d bytes for a header of %d", ErrMalformed, len(b), HeaderSize)
	}
	if len(h.Name) >= NameLen || len(h.UUID) >= UUIDLen {
		return fmt.Errorf("%w: name of %d or uuid of %d bytes is too long", ErrMalformed, len(h.Name), len(h.UUID))
	}
	clear(b[:HeaderSize])
	for i, v := range h.Version {
		order.PutUint32(b[4*i:], v)
	}
	order.PutUint32(b[12:], h.DataSize)
	order.PutUint32(b[16:], h.DataStart)
	order.PutUint32(b[20:], h.TargetCount)
	order.PutUint32(b[24:], uint32(h.OpenCount))
	order.PutUint32(b[28:], uint32(h.Flags))
	order.PutUint32(b[32:], h.EventNr)
	order.PutUint64(b[40:], h.Dev)
	copy(b[offName:], h.Name)
	copy(b[offUUID:], h.UUID)
	return nil
}

// ParseHeader reads a header from the front of b.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < DataOffset {
		return Header{}, fmt.Errorf("%w: %d bytes are too few for a header", ErrMalformed, len(b))
	}
	h := Header{
		DataSize:    order.Uint32(b[12:]),
		DataStart:   order.Uint32(b[16:]),
		TargetCount: order.Uint32(b[20:]),
		OpenCount:   int32(order.Uint32(b[24:])),
		Flags:       Flags(order.Uint32(b[28:])),
		EventNr:     order.Uint32(b[32:]),
		Dev:         order.Uint64(b[40:]),
		Name:        cString(b[offName : offName+NameLen]),
		UUID:        cString(b[offUUID : offUUID+UUIDLen]),
	}
	for i := range h.Version {
		h.Version[i] = order.Uint32(b[4*i:])
	}
	return h, nil
}

// Payload is the part of a reply that the kernel filled. A reply that did not fit
// has a data size below its own data start (305 < 312 is what the kernel says):
// that is an empty payload and not a slice out of bounds.
func (h *Header) Payload(b []byte) []byte {
	start, end := int(h.DataStart), int(h.DataSize)
	if end > len(b) {
		end = len(b)
	}
	if start < DataOffset || start >= end {
		return nil
	}
	return b[start:end]
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func align8(n int) int { return (n + 7) &^ 7 }

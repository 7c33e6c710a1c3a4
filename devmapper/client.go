package devmapper

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Client performs operations on a device-mapper. It is safe for concurrent use.
type Client struct {
	t     Transport
	nodes nodes
	calls *calls

	mu      sync.Mutex
	version Version // of the interface; zero until asked
}

// New makes a client that speaks through t and makes no nodes. Close closes t.
func New(t Transport) *Client { return &Client{t: t, nodes: noNodes{}, calls: newCalls()} }

// Close waits for the operations that are under way and gives the control descriptor
// back. Operations that begin later give ErrClosed. Devices stay as they are, and so do
// watchers, which have descriptors of their own. Closing twice is no error.
func (c *Client) Close() error {
	if !c.calls.close() {
		return nil
	}
	return c.t.Close()
}

// Version is the version of an interface or a target.
type Version struct{ Major, Minor, Patch uint32 }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor uint32) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Version asks the version of the control interface. ErrNotSupported says that its
// major number is not 4.
func (c *Client) Version() (Version, error) {
	h, _, err := c.do(call{cmd: uapi.Version})
	if err != nil {
		if errors.Is(err, ErrInvalid) {
			return Version{}, fmt.Errorf("%w: the kernel's control interface is not version 4", ErrNotSupported)
		}
		return Version{}, err
	}
	v := Version{h.Version[0], h.Version[1], h.Version[2]}
	c.mu.Lock()
	c.version = v
	c.mu.Unlock()
	return v, nil
}

func (c *Client) atLeast(minor uint32) (bool, error) {
	c.mu.Lock()
	v := c.version
	c.mu.Unlock()
	if v == (Version{}) {
		var err error
		if v, err = c.Version(); err != nil {
			return false, err
		}
	}
	return v.AtLeast(4, minor), nil
}

// TargetVersion is one kind of target that the kernel can map.
type TargetVersion struct {
	Name    string
	Version Version
}

// Targets lists the kinds of targets whose modules are loaded.
func (c *Client) Targets() ([]TargetVersion, error) {
	_, data, err := c.do(call{cmd: uapi.ListVersions, reply: true})
	if err != nil {
		return nil, err
	}
	return decodeVersions(data)
}

// TargetVersion asks for one kind of target and loads its module if need be.
// ErrNotExist says that the kernel has none. Kernels before interface 4.41 load
// nothing and know only what is loaded.
func (c *Client) TargetVersion(name string) (Version, error) {
	can, err := c.atLeast(41)
	if err != nil {
		return Version{}, err
	}
	var all []TargetVersion
	if can {
		var data []byte
		if _, data, err = c.do(call{cmd: uapi.GetTargetVersion, rawName: name, reply: true}); err == nil {
			all, err = decodeVersions(data)
		}
	} else {
		all, err = c.Targets()
	}
	if err != nil {
		return Version{}, err
	}
	for _, t := range all {
		if t.Name == name {
			return t.Version, nil
		}
	}
	return Version{}, &Error{Op: "target version", Device: name, Errno: syscall.EINVAL, class: ErrNotExist}
}

func decodeVersions(data []byte) ([]TargetVersion, error) {
	raw, err := uapi.ParseVersions(data)
	if err != nil {
		return nil, err
	}
	all := make([]TargetVersion, len(raw))
	for i, v := range raw {
		all[i] = TargetVersion{v.Name, Version{v.Version[0], v.Version[1], v.Version[2]}}
	}
	return all, nil
}

// call is one operation before it is bytes.
type call struct {
	cmd     uapi.Command
	ref     Ref
	rawName string // instead of ref: create's name, a list's prefix, a target
	rawUUID string
	flags   uapi.Flags
	event   uint32
	targets uint32
	payload []byte
	reply   bool   // the kernel answers with a payload
	detail  string // for errors and traces
}

const (
	replyRoom    = 4 << 10
	mostReply    = 64 << 20
	versionMajor = 4
)

// do performs one operation. A reply that does not fit is asked for again with
// twice the room: the kernel says DM_BUFFER_FULL_FLAG and no errno.
func (c *Client) do(k call) (uapi.Header, []byte, error) {
	if err := c.calls.begin(); err != nil {
		return uapi.Header{}, nil, err
	}
	defer c.calls.end()
	h := uapi.Header{
		Version:     [3]uint32{versionMajor, 0, 0},
		DataStart:   uapi.HeaderSize,
		TargetCount: k.targets,
		Flags:       k.flags,
		EventNr:     k.event,
		Name:        k.rawName,
		UUID:        k.rawUUID,
	}
	device := k.rawName
	if k.ref != (Ref{}) {
		h.Name, h.UUID, h.Dev = k.ref.name.s, k.ref.uuid.s, k.ref.dev.huge()
		device = k.ref.String()
	}
	room := 0
	if k.reply {
		room = replyRoom
	}
	for {
		buf := make([]byte, uapi.HeaderSize+max(len(k.payload), room))
		h.DataSize = uint32(len(buf))
		if err := h.Put(buf); err != nil {
			return uapi.Header{}, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		copy(buf[uapi.HeaderSize:], k.payload)
		err := c.control(k, device, buf)
		if err != nil {
			var errno syscall.Errno
			if !errors.As(err, &errno) {
				return uapi.Header{}, nil, fmt.Errorf("devmapper: %s %s: %w", k.cmd, device, err)
			}
			return uapi.Header{}, nil, &Error{Op: k.cmd.String(), Device: device, Detail: k.detail, Errno: errno, class: classify(k.cmd, errno)}
		}
		got, err := uapi.ParseHeader(buf)
		if err != nil {
			return uapi.Header{}, nil, err
		}
		if k.reply && got.Flags&uapi.FlagBufferFull != 0 {
			if room *= 2; room > mostReply {
				return uapi.Header{}, nil, fmt.Errorf("devmapper: %s %s: reply is larger than %d bytes", k.cmd, device, mostReply)
			}
			continue
		}
		return got, got.Payload(buf), nil
	}
}

func (c *Client) control(k call, device string, buf []byte) error {
	if !tracing {
		return c.t.Control(uint8(k.cmd), buf)
	}
	start := time.Now()
	err := c.t.Control(uint8(k.cmd), buf)
	trace(k.cmd, device, k.detail, time.Since(start), err)
	return err
}

package snapstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// The fake filesystem: block 0 says which kind it is, how large it is, and whether it is
// mounted writable or was when its machine lost the power. A file is in the block that
// its name hashes to.
const (
	fakeMagic = 0x56454e45
	fakeBlock = 64 << 10
)

// fakeHead is block 0.
type fakeHead struct {
	Magic, Size, Dirty uint64
	Kind               [16]byte
}

func (h fakeHead) kind() string { return string(bytes.TrimRight(h.Kind[:], "\x00")) }

func readHead(d *dmtest.Disk) (h fakeHead, err error) {
	b := make([]byte, binary.Size(h))
	if _, err = d.ReadAt(b, 0); err == nil {
		_, err = binary.Decode(b, binary.LittleEndian, &h)
	}
	return h, err
}

func writeHead(d *dmtest.Disk, h fakeHead) error {
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err == nil {
		_, err = d.WriteAt(b, 0)
	}
	return err
}

// mark says in block 0 whether there is a log to be replayed.
func mark(d *dmtest.Disk, dirty bool) error {
	h, err := readHead(d)
	if err == nil {
		if h.Dirty = 0; dirty {
			h.Dirty = 1
		}
		err = writeHead(d, h)
	}
	return err
}

type fakeHost Fake

func (f *fakeHost) open(device string) (*dmtest.Disk, error) {
	return f.Kernel.Open(strings.TrimPrefix(device, "/dev/mapper/"))
}

func (f *fakeHost) with(device string, use func(*dmtest.Disk) error) error {
	d, err := f.open(device)
	if err != nil {
		return err
	}
	return errors.Join(use(d), d.Close())
}

func (f *fakeHost) Format(_ context.Context, o filesystem.Format) error {
	return f.with(o.Device, func(d *dmtest.Disk) error {
		h := fakeHead{Magic: fakeMagic, Size: uint64(d.Size())}
		copy(h.Kind[:], o.Filesystem)
		return writeHead(d, h)
	})
}

func (f *fakeHost) Grow(_ context.Context, m snapshots.Mount) error {
	if m.Type == "" {
		return nil
	}
	return f.with(m.Source, func(d *dmtest.Disk) error {
		h, err := readHead(d)
		if err != nil {
			return err
		}
		h.Size = uint64(d.Size())
		return writeHead(d, h)
	})
}

func (f *fakeHost) Settle(_ context.Context, device string) (s filesystem.State, err error) {
	return s, f.with(device, func(d *dmtest.Disk) error {
		h, err := readHead(d)
		if err == nil && h.Magic == fakeMagic {
			s.Kind, s.Size, s.NeedsReplay = h.kind(), h.Size, h.Dirty != 0
		}
		return err
	})
}

func (f *fakeHost) Replay(_ context.Context, m snapshots.Mount) error {
	return f.with(m.Source, func(d *dmtest.Disk) error { return mark(d, false) })
}

func (f *fakeHost) Identify(device string) (sb filesystem.Superblock, err error) {
	err = f.with(device, func(d *dmtest.Disk) error {
		h, err := readHead(d)
		if err == nil && h.Magic == fakeMagic {
			sb.Kind, sb.Size = h.kind(), h.Size
		}
		return err
	})
	return sb, err
}

func (f *fakeHost) Discard(_ context.Context, device string) error {
	return f.with(device, (*dmtest.Disk).Discard)
}

type fakeVolume struct {
	d        *dmtest.Disk
	size     uint64
	readOnly bool
}

// Mount opens the device and checks that there is a filesystem of the right kind that
// fits it and, as a kernel does, that a read-only one has no log to be replayed.
func (f *Fake) Mount(t testing.TB, m snapshots.Mount) Volume {
	t.Helper()
	d, err := (*fakeHost)(f).open(m.Source)
	require.NoError(t, err)
	h, err := readHead(d)
	require.NoError(t, err)
	require.EqualValues(t, fakeMagic, h.Magic, "no filesystem on %s", m.Source)
	require.Equal(t, m.Type, h.kind(), "kind of filesystem on %s", m.Source)
	require.LessOrEqual(t, h.Size, uint64(d.Size()), "filesystem larger than its device")
	v := &fakeVolume{d, h.Size, slices.Contains(m.Options, "ro")}
	if v.readOnly {
		require.Zero(t, h.Dirty, "%s is read-only and needs its log replayed", m.Source)
	} else {
		require.NoError(t, mark(d, true))
	}
	return v
}

// Crash lets go of a volume whose filesystem stays mounted as far as it knows.
func (f *Fake) Crash(t testing.TB, v Volume) {
	t.Helper()
	require.NoError(t, v.(*fakeVolume).d.Close())
}

// Hold opens a device.
func (f *Fake) Hold(t testing.TB, m snapshots.Mount) (release func()) {
	t.Helper()
	d, err := (*fakeHost)(f).open(m.Source)
	require.NoError(t, err)
	return func() { require.NoError(t, d.Close()) }
}

func slot(name string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return (1 + int64(h.Sum32()%900)) * fakeBlock
}

func (v *fakeVolume) Put(name, content string) error {
	if len(content) > fakeBlock-8 {
		return fmt.Errorf("%d bytes do not fit", len(content))
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(content)))
	_, err := v.d.WriteAt(append(b, content...), slot(name))
	return err
}

func (v *fakeVolume) Get(name string) (string, error) {
	var n [8]byte
	if _, err := v.d.ReadAt(n[:], slot(name)); err != nil {
		return "", err
	}
	b := make([]byte, binary.LittleEndian.Uint64(n[:]))
	_, err := v.d.ReadAt(b, slot(name)+8)
	return string(b), err
}

func (v *fakeVolume) Size() uint64 { return v.size }

func (v *fakeVolume) Unmount() error {
	var err error
	if !v.readOnly {
		err = mark(v.d, false)
	}
	return errors.Join(err, v.d.Close())
}

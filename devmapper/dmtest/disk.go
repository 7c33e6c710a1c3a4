package dmtest

import (
	"io"
	"io/fs"
	"syscall"
)

// Disk is an open device, as a program that reads and writes it has it. Access
// waits while the device is suspended.
type Disk struct {
	k *Kernel
	d *device
}

// Open opens a mapped device by name, which makes it busy until Close.
func (k *Kernel) Open(name string) (*Disk, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.devices[name]
	if d == nil {
		return nil, fs.ErrNotExist
	}
	d.open++
	return &Disk{k: k, d: d}, nil
}

// Close gives the device back. A removal that waited for it happens now.
func (f *Disk) Close() error {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	f.k.release(f.d)
	return nil
}

// Size is the device's size in bytes.
func (f *Disk) Size() int64 {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	return f.size()
}

func (f *Disk) size() int64 {
	var n uint64
	if f.d.active != nil {
		for _, l := range f.d.active.lines {
			n += l.Length * 512
		}
	}
	return int64(n)
}

// ReadAt reads a thin device's content.
func (f *Disk) ReadAt(b []byte, off int64) (int, error) {
	return f.each(b, off, func(p *pool, t *thin, virtual, within uint64, part []byte) error {
		clear(part)
		if m, ok := t.mappings[virtual]; ok && p.blocks[m.block].data != nil {
			copy(part, p.blocks[m.block].data[within:])
		}
		return nil
	})
}

// WriteAt writes a thin device's content. A full pool says ENOSPC, a read-only
// device EPERM.
func (f *Disk) WriteAt(b []byte, off int64) (int, error) {
	return f.each(b, off, func(p *pool, t *thin, virtual, within uint64, part []byte) error {
		if f.d.readOnly {
			return syscall.EPERM
		}
		full := p.mode
		blk, err := p.writable(t, virtual)
		if err != nil {
			if full != p.mode && p.user != nil {
				f.k.raiseOn(p.user)
			}
			return err
		}
		copy(blk.data[within:], part)
		return nil
	})
}

// Discard unmaps every whole block of the device.
func (f *Disk) Discard() error {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	t := f.d.active
	if t == nil || t.thin == nil || f.d.readOnly {
		return syscall.EOPNOTSUPP
	}
	for virtual := range t.thin.mappings {
		t.pool.discard(t.thin, virtual)
	}
	return nil
}

func (f *Disk) each(b []byte, off int64, do func(p *pool, t *thin, virtual, within uint64, part []byte) error) (int, error) {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	for f.d.suspended {
		f.k.changed.Wait()
	}
	t := f.d.active
	if t == nil || t.thin == nil {
		return 0, syscall.EIO
	}
	done := 0
	for done < len(b) {
		if off >= f.size() {
			return done, io.EOF
		}
		size := t.pool.blockSize.Bytes()
		virtual, within := uint64(off)/size, uint64(off)%size
		n := min(len(b)-done, int(size-within))
		if err := do(t.pool, t.thin, virtual, within, b[done:done+n]); err != nil {
			return done, err
		}
		done += n
		off += int64(n)
	}
	return done, nil
}

// Suspended reports whether access would wait.
func (f *Disk) Suspended() bool {
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	return f.d.suspended
}

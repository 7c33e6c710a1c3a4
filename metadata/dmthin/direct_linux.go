package dmthin

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// DirectFile reads a device past the page cache. The kernel writes a pool's
// metadata past it too, so a cached read can be stale for ever.
type DirectFile struct {
	mu  sync.Mutex
	f   *os.File
	buf []byte // page-aligned, as O_DIRECT wants it
}

// OpenDirect opens a metadata device, or a file, for reading past the page cache.
// Where the filesystem of a file has no O_DIRECT it reads through the cache, which
// is right for files. Reads must be of whole blocks.
func OpenDirect(path string) (*DirectFile, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open pool metadata: %w", err)
	}
	buf, err := unix.Mmap(-1, 0, runBlocks*MetaBlockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory to read pool metadata: %w", err), f.Close())
	}
	return &DirectFile{f: f, buf: buf}, nil
}

// ReadAt reads whole blocks at a block's place.
func (d *DirectFile) ReadAt(p []byte, off int64) (int, error) {
	if off%MetaBlockSize != 0 || len(p)%MetaBlockSize != 0 {
		return 0, fmt.Errorf("read of %d bytes at %d is not of whole metadata blocks", len(p), off)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	done := 0
	for done < len(p) {
		want := min(len(p)-done, len(d.buf))
		n, err := d.f.ReadAt(d.buf[:want], off+int64(done))
		done += copy(p[done:], d.buf[:n])
		if n < want {
			return done, err
		}
	}
	return done, nil
}

// Close closes the device.
func (d *DirectFile) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(unix.Munmap(d.buf), d.f.Close())
}

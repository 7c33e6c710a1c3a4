package filesystem

import (
	"errors"
	"fmt"
	"io"
)

// State is what a device holds.
type State struct {
	Superblock       // of kind "" if there is no filesystem of a known kind
	NeedsReplay bool // a mount would write first
}

// what is asked of a device.
type question struct {
	flush bool // its cache first
	log   bool // whether the log is clean
}

// Identify reads the superblock on a device, past the page cache. A device that holds no
// filesystem of a known kind has one of kind "".
func Identify(path string) (Superblock, error) {
	s, err := look(path, question{})
	return s.Superblock, err
}

// Look reads what a device holds and whether its log is clean, past the page cache. It
// writes nothing.
func Look(path string) (State, error) { return look(path, question{log: true}) }

// Settle flushes a device's cache, and then is Look.
func Settle(path string) (State, error) { return look(path, question{flush: true, log: true}) }

func look(path string, q question) (s State, err error) {
	d, err := openDevice(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if q.flush {
		if err := d.flush(); err != nil {
			return s, fmt.Errorf("flush %s: %w", path, err)
		}
	}
	s, err = Read(d, q.log)
	if err != nil {
		err = fmt.Errorf("read the filesystem on %s: %w", path, err)
	}
	return s, err
}

// Read is Look at a device, or at the image of one, that is open already. Without log it
// reads the superblock alone.
func Read(device io.ReaderAt, log bool) (s State, err error) {
	head := make([]byte, HeadSize)
	if n, err := device.ReadAt(head, 0); n < len(head) {
		if errors.Is(err, io.EOF) {
			// Nothing that has a use is so small: a device without a table is.
			err = fmt.Errorf("it ends at byte %d: %w", n, io.ErrUnexpectedEOF)
		}
		return s, err
	}
	for _, k := range kinds {
		sb, ok := k.Superblock(head)
		if !ok {
			continue
		}
		s.Superblock = sb
		if log {
			s.NeedsReplay, err = k.NeedsReplay(head, device)
		}
		return s, err
	}
	return s, nil
}

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// A frame is one byte of kind, four bytes of length (big endian) and the payload.
// All that a guest says to the host travels as frames over one channel, so that
// the order of what CMD wrote is kept.
type frameKind byte

const (
	frameReady  frameKind = 'r' // the machine is set up and CMD is about to start
	frameStdout frameKind = 'o'
	frameStderr frameKind = 'e'
	frameResult frameKind = 'x' // a result, as JSON; always the last frame
)

// maxFrame bounds a payload, so that noise on the channel is noticed as such.
const maxFrame = 1 << 20

// frameWriter writes frames. It is safe for concurrent use.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frameWriter) write(kind frameKind, payload []byte) error {
	buf := make([]byte, 5, 5+len(payload))
	buf[0] = byte(kind)
	binary.BigEndian.PutUint32(buf[1:], uint32(len(payload)))
	buf = append(buf, payload...)
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.w.Write(buf)
	return err
}

// readFrame reads one frame. io.EOF means that the channel ended between two.
func readFrame(r io.Reader) (frameKind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := frameKind(head[0]), binary.BigEndian.Uint32(head[1:])
	switch kind {
	case frameReady, frameStdout, frameStderr, frameResult:
	default:
		return 0, nil, fmt.Errorf("unknown frame %q on the channel", byte(kind))
	}
	if size > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes on the channel, more than %d", size, maxFrame)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return kind, payload, nil
}

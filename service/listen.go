package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/veneerdm/veneer/class"
)

// Listen makes the socket at path, for root alone, in a folder for root alone. A
// socket that a dead process left is replaced; one that is answered is not.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return nil, errors.Join(fmt.Errorf("%w: a process answers on %s", class.Locked, path), conn.Close())
	}
	// EAGAIN of unix(7) is one: the listener's queue is full.
	if busy := net.Error(nil); errors.As(err, &busy) && busy.Timeout() {
		return nil, fmt.Errorf("%w: a process listens on %s and is too busy to answer: %w", class.Locked, path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

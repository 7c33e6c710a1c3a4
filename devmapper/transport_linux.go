package devmapper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// ControlPath is the node of the control interface, character device 10:236.
const ControlPath = "/dev/mapper/control"

// Open opens the kernel's control node. The error says ErrNotSupported when the
// kernel has no device-mapper and ErrPermission when the caller lacks CAP_SYS_ADMIN.
// When devtmpfs did not make the node, root's Open does.
func Open() (*Client, error) {
	return OpenThrough(func(t Transport) Transport { return t })
}

// OpenThrough is Open with something of the caller's between the client and the
// kernel, such as a counter of operations: wrap gets the kernel's transport and
// gives the one to use.
func OpenThrough(wrap func(Transport) Transport) (*Client, error) {
	t, err := openControl()
	if err != nil {
		return nil, err
	}
	c := NewWithNodes(wrap(t), filepath.Dir(ControlPath))
	if _, err := c.Version(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

type control struct {
	file *os.File
	fd   int // file.Fd would make a descriptor that is polled a blocking one
}

// openControl opens the node for ioctls alone. Every device made or removed on the
// machine is an event for everybody who polls the node, and the runtime polls what
// os.Open opens: that would wake a thread at each operation of our own.
func openControl() (*control, error) {
	fd, err := openNode(unix.O_RDWR | unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &control{file: os.NewFile(uintptr(fd), ControlPath), fd: fd}, nil
}

func openNode(flags int) (fd int, err error) {
	fd, err = unix.Open(ControlPath, flags, 0)
	if errors.Is(err, fs.ErrNotExist) && makeControlNode() == nil {
		fd, err = unix.Open(ControlPath, flags, 0)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return 0, fmt.Errorf("%w: %s is not there; load the module with \"modprobe dm_mod\"", ErrNotSupported, ControlPath)
	case errors.Is(err, fs.ErrPermission):
		return 0, fmt.Errorf("%w: %s wants CAP_SYS_ADMIN; run as root", ErrPermission, ControlPath)
	case err != nil:
		return 0, fmt.Errorf("open %s: %w", ControlPath, err)
	}
	return fd, nil
}

// makeControlNode serves systems without devtmpfs: /proc/misc has the minor.
func makeControlNode() error {
	misc, err := os.ReadFile("/proc/misc")
	if err != nil {
		return err
	}
	var minor uint32
	var name string
	for line := range lines(string(misc)) {
		if n, _ := fmt.Sscan(line, &minor, &name); n == 2 && name == "device-mapper" {
			if err := os.MkdirAll("/dev/mapper", 0o755); err != nil {
				return err
			}
			return unix.Mknod(ControlPath, unix.S_IFCHR|0o600, int(unix.Mkdev(10, minor)))
		}
	}
	return fs.ErrNotExist
}

// Control retries EINTR: a suspend that waits for I/O is interrupted by any
// signal, and the Go runtime sends itself many.
func (c *control) Control(command uint8, buf []byte) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd),
			uapi.Command(command).Request(), uintptr(unsafe.Pointer(unsafe.SliceData(buf))))
		runtime.KeepAlive(buf)
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// Fork gives a transport that can wait: the runtime polls what does not block.
func (c *control) Fork() (Transport, error) {
	fd, err := openNode(unix.O_RDWR | unix.O_CLOEXEC | unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &control{file: os.NewFile(uintptr(fd), ControlPath), fd: fd}, nil
}

// Wait blocks in the runtime's poller, so it occupies no thread and ends with ctx.
func (c *control) Wait(ctx context.Context) error {
	if err := c.file.SetReadDeadline(time.Time{}); errors.Is(err, os.ErrNoDeadline) {
		return fmt.Errorf("%w: this kernel cannot poll %s", ErrNotSupported, ControlPath)
	} else if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = c.file.SetReadDeadline(time.Unix(1, 0)) // it was accepted above
	})
	defer stop()
	raw, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	err = raw.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, 0)
		return err == nil && n > 0
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

func (c *control) Close() error { return c.file.Close() }

package snapshots

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/ioctl"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// machine is the Host that a program runs on.
type machine struct{}

// Machine is the Host that the program runs on, for programs that wrap it.
func Machine() Host { return machine{} }

func (machine) Format(ctx context.Context, f filesystem.Format) error {
	return filesystem.Make(ctx, f)
}

func (machine) Grow(ctx context.Context, m Mount) error {
	if m.Type == "" {
		return nil
	}
	return filesystem.Grow(ctx, m)
}

func (machine) Settle(_ context.Context, device string) (filesystem.State, error) {
	return filesystem.Settle(device)
}

func (machine) Replay(ctx context.Context, m Mount) error { return filesystem.Replay(ctx, m) }

func (machine) Identify(device string) (filesystem.Superblock, error) {
	return filesystem.Identify(device)
}

// discardPart is how many bytes one BLKDISCARD is for: the kernel ends none before it is
// done, and a driver that closes does not wait for a whole device.
const discardPart = 1 << 30

func (machine) Discard(ctx context.Context, device string) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	for at := int64(0); at < size && err == nil; at += discardPart {
		if err = ctx.Err(); err != nil {
			break
		}
		part := binary.NativeEndian.AppendUint64(nil, uint64(at))
		part = binary.NativeEndian.AppendUint64(part, uint64(min(discardPart, size-at)))
		err = ioctl.Do(f.Fd(), unix.BLKDISCARD, part)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil // the pool was told to ignore discards
	}
	if err != nil {
		err = fmt.Errorf("discard %s: %w", device, err)
	}
	return errors.Join(err, f.Close())
}

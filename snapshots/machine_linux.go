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

func (machine) Grow(ctx context.Context, m Mount) error { return filesystem.Grow(ctx, m) }

func (machine) Settle(_ context.Context, device string) (filesystem.State, error) {
	return filesystem.Settle(device)
}

func (machine) Replay(ctx context.Context, m Mount) error { return filesystem.Replay(ctx, m) }

func (machine) Discard(_ context.Context, device string) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		whole := binary.NativeEndian.AppendUint64(make([]byte, 8), uint64(size)) // from 0
		err = ioctl.Do(f.Fd(), unix.BLKDISCARD, whole)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil // the pool was told to ignore discards
	}
	if err != nil {
		err = fmt.Errorf("discard %s: %w", device, err)
	}
	return errors.Join(err, f.Close())
}

package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/veneerdm/veneer/internal/durable"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/thinpool"
)

// repairJob repairs one metadata file or device. Beside it, or in the store's folder
// for a device, stand: NAME.repairing while thin_repair writes it, NAME.repaired once
// thin_check agrees, NAME.damaged with the old metadata.
type repairJob struct {
	path         string
	folder, name string
	blockSize    uint64
	dataBlocks   uint64
	thins        []dmthin.ThinID // that should be there
	replace      bool            // by another file, and not by writing over it
}

func (j repairJob) file(suffix string) string { return filepath.Join(j.folder, j.name+suffix) }

// damage says what is wrong with the metadata, if anything. err says that it could not
// be looked at, which is no damage.
func (j repairJob) damage(ctx context.Context) (damage, err error) {
	if _, err := os.Stat(j.file(".copying")); err == nil {
		return errors.New("an earlier repair was interrupted while it wrote the metadata back"), nil
	}
	if err := thinpool.Verify(ctx, j.path); err != nil {
		if errors.Is(err, os.ErrNotExist) || ctx.Err() != nil {
			return nil, err
		}
		return err, nil
	}
	sb, err := superblockOf(j.path)
	if err != nil {
		return nil, err // it could be read a moment ago
	}
	if sb.NeedsCheck {
		return errors.New("the kernel has marked the metadata as needing a check"), nil
	}
	if err := thinCheck(ctx, j.path); err != nil && !rejected(err) {
		return nil, err
	} else if err != nil {
		return err, nil
	}
	return nil, nil
}

func (j repairJob) run(ctx context.Context) (kept string, err error) {
	if _, err := os.Stat(j.file(".copying")); err == nil { // the old one is kept by now
		return j.file(".damaged"), j.copyBack()
	}
	size, err := sizeOf(j.path)
	if err != nil {
		return "", err
	}
	if sb, err := superblockOf(j.path); err == nil && j.replace {
		size = max(size, int64(min(sb.MetaBlocks.Bytes(), thinpool.MaxMetadata))) // it may have been cut
	}
	part := j.file(".repairing")
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := loopback.CreateImage(part, size-size%loopback.ImageUnit); err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(part) }() // it is there only when something went wrong
	if err := disk.Reserve(part); err != nil {
		return "", err
	}
	if err := j.repairTo(ctx, part, dmthin.MetaBlocks(size/dmthin.MetaBlockSize)); err != nil {
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	if err := errors.Join(thinCheckAndClear(ctx, part), thinpool.Verify(ctx, part), syncFile(part)); err != nil {
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	if kept, err = j.keep(); err != nil {
		return "", err
	}
	if j.replace {
		return kept, durable.Rename(part, j.path)
	}
	if err := durable.Rename(part, j.file(".copying")); err != nil {
		return kept, err
	}
	return kept, j.copyBack()
}

// keep puts the old metadata under a name that is free.
func (j repairJob) keep() (kept string, err error) {
	for n := 1; ; n++ {
		kept = j.file(".damaged")
		if n > 1 {
			kept += fmt.Sprint(".", n)
		}
		if j.replace {
			err = os.Link(j.path, kept)
		} else {
			err = copyFile(j.path, kept, os.O_CREATE|os.O_EXCL)
		}
		if !errors.Is(err, os.ErrExist) {
			return kept, errors.Join(err, durable.SyncDir(j.folder))
		}
	}
}

// copyBack writes the repaired metadata over the device. Until it is done, the copy
// is there to begin again with.
func (j repairJob) copyBack() error {
	if err := copyFile(j.file(".copying"), j.path, syscall.O_EXCL); err != nil {
		return fmt.Errorf("%w; run \"veneer pool repair\" again", err)
	}
	return os.Remove(j.file(".copying"))
}

func copyFile(from, to string, flags int) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|flags, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

// syncFile brings what another program has written into a file to disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func sizeOf(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	return size, errors.Join(err, f.Close())
}

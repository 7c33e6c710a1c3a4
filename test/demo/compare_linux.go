package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/bytesize"
)

// largeFile came with the image, in a layer below the container's.
const largeFile = "srv/data/measurements.csv"

func (d *demo) writeLargeFile() error {
	title("4. Write 4 KiB into a large file that came with the image")
	for _, name := range []string{"one", "two"} {
		if err := d.show("container", "create", "nginx", "--name", name); err != nil {
			return err
		}
	}
	mnt, unmount, err := d.mount("one")
	if err != nil {
		return err
	}
	defer unmount()
	path := filepath.Join(mnt, largeFile)
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	// The first write of a container also copies the blocks that hold the inode and
	// the journal; the second shows what the data costs.
	first, firstTook, err := d.costOfWrite(path, 0)
	if err != nil {
		return err
	}
	second, secondTook, err := d.costOfWrite(path, st.Size()/2)
	if err != nil {
		return err
	}
	overlayCost, overlayTook, err := d.overlayWrite(path)
	if err != nil {
		return err
	}
	say("file: %s of %s", largeFile, bytesize.Format(st.Size()))
	say("%-34s %10s %12s", "", "stored", "write+fsync")
	say("%-34s %10s %12s", "Veneer, first write (inode, journal)", bytesize.Format(first), firstTook.Round(10*time.Microsecond))
	say("%-34s %10s %12s", "Veneer, second write", bytesize.Format(second), secondTook.Round(10*time.Microsecond))
	say("%-34s %10s %12s", "overlayfs: copies the whole file", bytesize.Format(overlayCost), overlayTook.Round(10*time.Microsecond))
	return nil
}

// costOfWrite overwrites 4 KiB in place and tells what that took from the pool.
func (d *demo) costOfWrite(path string, at int64) (uint64, time.Duration, error) {
	before, err := d.pool()
	if err != nil {
		return 0, 0, err
	}
	took, err := write4K(path, at)
	if err != nil {
		return 0, 0, err
	}
	after, err := d.pool()
	return after.DataUsed - before.DataUsed, took, err
}

func write4K(path string, at int64) (time.Duration, error) {
	began := time.Now()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	page := make([]byte, 4096)
	copy(page, "changed by the container")
	_, err = f.WriteAt(page, at)
	err = errors.Join(err, f.Sync())
	took := time.Since(began)
	return took, errors.Join(err, f.Close())
}

// overlayWrite does the same to a copy of the file in the lower layer of an overlayfs.
func (d *demo) overlayWrite(source string) (cost uint64, took time.Duration, err error) {
	base := filepath.Join(d.dir, "overlay")
	for _, sub := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(base, sub), 0o700); err != nil {
			return 0, 0, err
		}
	}
	if err := copyFile(source, filepath.Join(base, "lower", "file")); err != nil {
		return 0, 0, err
	}
	merged := filepath.Join(base, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return 0, 0, fmt.Errorf("mount overlayfs to compare with: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(merged, 0)) }()
	if took, err = write4K(filepath.Join(merged, "file"), 0); err != nil {
		return 0, 0, err
	}
	var st syscall.Stat_t
	err = syscall.Stat(filepath.Join(base, "upper", "file"), &st)
	return uint64(st.Blocks) * 512, took, err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func (d *demo) showIsolation() error {
	title("5. The other container and the image are unchanged")
	one, err := d.fingerprint("one")
	if err != nil {
		return err
	}
	two, err := d.fingerprint("two")
	if err != nil {
		return err
	}
	say("sha256 of the file in container one: %s", one)
	say("sha256 of the file in container two: %s", two)
	if one == two {
		return errors.New("the write into container one shows in container two")
	}
	if err := d.show("container", "create", "nginx", "--name", "fresh"); err != nil {
		return err
	}
	fresh, err := d.fingerprint("fresh")
	if err != nil {
		return err
	}
	say("sha256 in a fresh container of the image: %s", fresh)
	if fresh != two {
		return errors.New("the image has changed")
	}
	return d.show("container", "ls", "--size")
}

func (d *demo) fingerprint(container string) (string, error) {
	mnt, unmount, err := d.mount(container)
	if err != nil {
		return "", err
	}
	defer unmount()
	f, err := os.Open(filepath.Join(mnt, largeFile))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:16], nil
}

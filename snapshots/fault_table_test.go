package snapshots_test

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
)

// failure is one way in which a call can fail.
type failure struct {
	err   error
	class error // of snapshots, that the verb's error has then, if it gives one
}

func failures(errs ...error) []failure {
	all := make([]failure, len(errs))
	for i, err := range errs {
		all[i].err = err
		if errors.Is(err, syscall.ENOSPC) {
			all[i].class = snapshots.ErrNoSpace
		}
	}
	return all
}

// unheardOf is what no kernel gives for a question. The driver is not to take a
// question that failed for an answer.
const unheardOf = syscall.EIO

// ioctlFailures are the errnos that Linux 6.1 gives for an operation that is right as
// it stands, by the words of dmtest.Call.Op. What says how things are, such as ENXIO
// for a device that is not there, would be a lie here and not a fault. Sources are
// drivers/md/*.c; a block of metadata that cannot be read is EIO from dm-bufio.c, one
// with a wrong checksum EILSEQ, one with another's number ENOTBLK (sb_check,
// node_check, dm_sm_metadata's index_check, bitmap_check).
var ioctlFailures = map[string][]failure{
	"version":        failures(unheardOf),
	"info":           failures(unheardOf),
	"arm poll":       failures(unheardOf),
	"table clear":    failures(unheardOf),
	"list devices":   failures(unheardOf, syscall.ENOMEM), // dm-ioctl.c, copy_params
	"table status":   failures(unheardOf, syscall.ENOMEM), // likewise
	"deps":           failures(unheardOf, syscall.ENOMEM), // likewise
	"target version": failures(unheardOf, syscall.ENOMEM), // likewise
	// dm.c, alloc_dev; dm-ioctl.c, alloc_cell.
	"create": failures(syscall.ENOMEM),
	// dm.c, dm_lock_for_deletion: a scan of devices has it open for a moment.
	"remove": failures(syscall.EBUSY),
	// dm.c, dm_wait_for_completion: a signal. fs/super.c, freeze_super: somebody else has
	// frozen it; what syncing the filesystem gives.
	"suspend": failures(syscall.EINTR, syscall.EBUSY, syscall.EIO, syscall.ENOSPC, syscall.ENOMEM),
	// dm.c, dm_swap_table: dm_calculate_queue_limits, __bind. dm-thin.c, pool_preresume:
	// dm_pool_resize_data_dev takes blocks of metadata.
	"resume": failures(syscall.ENOMEM, syscall.EINVAL, syscall.EIO, syscall.ENOSPC, syscall.EILSEQ, syscall.ENOTBLK),
	// dm-table.c, dm_get_device: blkdev_get_by_dev finds that the disk below is on its
	// way out (ENXIO) or somebody else's alone (EBUSY). dm-thin.c, thin_ctr while the pool
	// is suspended (EINVAL); dm_pool_open_thin_device and __pool_find read metadata.
	"table load": failures(syscall.ENOMEM, syscall.EBUSY, syscall.ENXIO, syscall.EINVAL, syscall.EIO, syscall.EILSEQ, syscall.ENOTBLK),
	// dm-ioctl.c, target_message: the pool's device is gone (ENXIO). dm-thin.c,
	// pool_message: the pool is read-only (EOPNOTSUPP). dm-thin-metadata.c: pmd->fail_io
	// (EINVAL); dm-block-manager.c, dm_bm_write_lock: it turned read-only just now (EPERM);
	// dm-space-map-metadata.c, sm_metadata_new_block: no block of metadata is free.
	"message": append(failures(syscall.ENOMEM, syscall.EIO, syscall.ENOSPC, syscall.EILSEQ, syscall.ENOTBLK, syscall.EINVAL, syscall.ENXIO),
		failure{syscall.EOPNOTSUPP, snapshots.ErrPoolState}, failure{syscall.EPERM, snapshots.ErrPoolState}),
	// dm-thin-metadata.c, __delete_device: it is open, for a moment.
	"message delete": failures(syscall.EBUSY),
	// dm-thin-metadata.c, __reserve_metadata_snap: somebody else holds one.
	"message reserve_metadata_snap": failures(syscall.EBUSY),
}

func failuresOf(c dmtest.Call) []failure {
	switch c.Op {
	case "suspend or resume":
		if c.Detail == "resume" {
			return ioctlFailures["resume"]
		}
		return ioctlFailures["suspend"]
	case "message":
		verb, _, _ := strings.Cut(c.Detail, " ")
		return append(append([]failure{}, ioctlFailures["message"]...), ioctlFailures["message "+verb]...)
	}
	return ioctlFailures[c.Op]
}

// exitOne is a command that ran and exited with status 1.
var exitOne = exec.Command("sh", "-c", "exit 1").Run()

// portFailures are what the machine's own Host and Disks give, by method. The methods
// of Disks make, attach or grow two files each, so they may fail between them.
var portFailures = map[string][]failure{
	// mkfs that finds fault, is not installed or cannot be started; the mount that
	// takes lost+found away.
	"Format": failures(exitOne, exec.ErrNotFound, syscall.ENOMEM, syscall.EIO, syscall.ENOSPC),
	// fs/ext4/ioctl.c and resize.c: another resize runs, an error was found before.
	"Host.Grow": failures(syscall.EIO, syscall.ENOSPC, syscall.EBUSY, syscall.EPERM, syscall.EROFS, syscall.ENOMEM),
	"Settle":    failures(syscall.EIO, syscall.ENOSPC, syscall.ENXIO, syscall.EMFILE),
	"Replay":    failures(syscall.EIO, syscall.EUCLEAN, syscall.EROFS, syscall.ENOSPC, syscall.ENOMEM, syscall.EBUSY),
	"Identify":  failures(syscall.EIO, syscall.ENXIO, syscall.EMFILE),
	"Discard":   failures(syscall.EIO, syscall.EPERM, syscall.ENXIO, syscall.ENOMEM),

	"Vacant": failures(syscall.EIO, syscall.EACCES, syscall.EMFILE),
	"Create": failures(syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EIO),
	// drivers/block/loop.c: loop_add, loop_configure.
	"Attach":     failures(syscall.ENOMEM, syscall.EBUSY, syscall.ENXIO, syscall.EMFILE, syscall.EIO),
	"Disks.Grow": failures(syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EIO),
	"Detach":     failures(syscall.EBUSY, syscall.ENXIO, syscall.EIO),
	"Delete":     failures(syscall.EROFS, syscall.EBUSY, syscall.EIO),
}

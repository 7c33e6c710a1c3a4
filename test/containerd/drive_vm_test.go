package containerd_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What Kata and Firecracker need of a snapshot, who cannot run without KVM: one mount
// of a block device, which nobody has mounted and which can be opened as a drive, with
// a filesystem and options that a guest knows. Kata asks sysfs whether it is one of
// the device-mapper's.
func TestSnapshotIsADriveForAVirtualMachine(t *testing.T) {
	h := newHost2(t)
	h.startDaemon()
	h.startContainerd()
	h.ctr("snapshots", "prepare", "drive", "")
	command := strings.Fields(h.ctr("snapshots", "mounts", "/mnt", "drive"))
	require.Len(t, command, 7, "one mount: %v", command) // mount -t TYPE SOURCE TARGET -o OPTIONS
	fstype, device, options := command[2], command[3], command[6]
	assert.Equal(t, "ext4", fstype)
	assert.Equal(t, "errors=remount-ro", options)

	var st unix.Stat_t
	require.NoError(t, unix.Stat(device, &st))
	require.EqualValues(t, unix.S_IFBLK, st.Mode&unix.S_IFMT)
	assert.DirExists(t, fmt.Sprintf("/sys/dev/block/%d:%d/dm", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	assert.NotContains(t, string(mounts), device)

	f, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	require.NoError(t, err)
	super := make([]byte, 1024)
	_, err = f.ReadAt(super, 1024)
	require.NoError(t, err)
	assert.EqualValues(t, 0xef53, binary.LittleEndian.Uint16(super[0x38:]), "ext4's mark")
	require.NoError(t, f.Close())

	h.ctr("snapshots", "rm", "drive")
}

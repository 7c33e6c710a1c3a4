package containerd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/test/waittest"
)

// idleMemory is what the daemon may hold when nobody asks it anything.
const idleMemory = 30 << 20

// systemd makes the socket, starts the daemon with it, and hears when it is ready
// and when it stops.
func TestDaemonUnderSystemd(t *testing.T) {
	h := newHost(t)
	socket := filepath.Join(state, "activated.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	require.NoError(t, err)
	passed, err := l.File()
	require.NoError(t, err)
	require.NoError(t, l.Close()) // the name goes too
	defer passed.Close()
	said := h.listen(filepath.Join(state, "notify.sock"))

	// LISTEN_PID names the process itself, so it is set by the one that becomes it.
	h.daemon = h.command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, h.veneer,
		"--root", filepath.Join(h.dir, "store"), "serve", "--metrics", "127.0.0.1:9610")
	h.daemon.Env = append(h.daemon.Env, "LISTEN_FDS=1", "NOTIFY_SOCKET="+filepath.Join(state, "notify.sock"))
	h.daemon.ExtraFiles = []*os.File{passed}
	h.daemon.Stderr = os.Stderr
	require.NoError(t, h.daemon.Start())
	assert.Equal(t, "READY=1", said(t))

	second, err := h.command(h.veneer, "--root", filepath.Join(h.dir, "store"), "--address", filepath.Join(state, "other.sock"), "serve").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Contains(t, string(second), strconv.Itoa(h.daemon.Process.Pid), "the second one names the first")

	memory := h.resident(h.daemon.Process.Pid)
	t.Logf("idle: %d bytes resident", memory)
	assert.Less(t, memory, idleMemory)

	h.stop(&h.daemon, syscall.SIGTERM)
	assert.Equal(t, "STOPPING=1", said(t))
}

// listen makes the socket that a daemon's state is told on, and gives what is said
// next.
func (h *host) listen(path string) func(*testing.T) string {
	h.t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(h.t, err)
	h.t.Cleanup(func() { assert.NoError(h.t, c.Close()) })
	return func(t *testing.T) string {
		t.Helper()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(waittest.Hang)))
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
}

// resident is the memory of a process, in bytes.
func (h *host) resident(pid int) int {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(h.t, err)
	_, rest, ok := strings.Cut(string(status), "VmRSS:")
	require.True(h.t, ok)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(h.t, err)
	return kib << 10
}

// A host that used another snapshotter has every layer in containerd's content
// store: the images come over without a download.
func TestImagesOfAnotherSnapshotterComeOver(t *testing.T) {
	h := newHost(t)
	h.archives("python")
	h.startDaemon()
	h.startContainerd()
	h.ctr("images", "import", "--snapshotter", "overlayfs", h.archive("python"))
	require.NoError(t, os.Remove(h.archive("python")), "nothing but containerd has the layers now")
	assert.Equal(t, "here\n", h.ctr("run", "--rm", "--snapshotter", "veneer", python, "moved", "echo", "here"))

	// Without containerd's snapshotters: veneer reads the content store itself.
	record := h.run("image", "import", "containerd:"+python, "--name", "web", "--quiet")
	assert.NotEmpty(t, record)
	assert.Contains(t, h.run("image", "ls"), "web")
	assert.Contains(t, h.run("container", "create", "web", "--name", "box"), "box")
	assert.Equal(t, "there\n", h.run("container", "exec", "box", "--", "echo", "there"))
	h.run("container", "rm", "box")
	h.run("image", "rm", "web")

	h.ctr("images", "rm", "--sync", python)
	h.noSnapshots()
}

// containerd 2 with the sample configuration. Its client imports through the
// transfer service, which unpacks for the snapshotters that the sample lists.
func TestContainerd2RunsOnVeneer(t *testing.T) {
	h := newHost2(t)
	h.archives("python")
	h.startDaemon()
	h.startContainerd()
	assert.Contains(t, h.ctr("version"), "2.4.2")
	h.ctr("images", "import", "--snapshotter", "veneer", h.archive("python"))
	assert.Len(t, strings.Split(strings.TrimSpace(h.ctr("snapshots", "ls")), "\n"), 1+3, "unpacked by the import")
	assert.Equal(t, "42\n", h.ctr("run", "--rm", python, "calc", "python3", "-c", "print(6*7)"))
	h.ctr("images", "rm", "--sync", python)
	h.noSnapshots()

	// Its client pulls through the transfer service too.
	pause := h.startRegistry().pause
	h.ctr("images", "pull", "--plain-http", "--snapshotter", "veneer", pause)
	assert.Len(t, strings.Split(strings.TrimSpace(h.ctr("snapshots", "ls")), "\n"), 1+1, "unpacked by the pull")
	assert.Equal(t, "here\n", h.ctr("run", "--rm", pause, "pulled", "sh", "-c", "echo here"))

	// A container's disk is as large as it asks for.
	assert.Regexp(t, `\n/dev/mapper/\S+ +20G `, h.ctr("run", "--rm", "--snapshotter-label", "containerd.io/snapshot/max-size=21474836480",
		pause, "large", "df", "-h", "/"))
	h.ctr("images", "rm", "--sync", pause)
	h.noSnapshots()
}

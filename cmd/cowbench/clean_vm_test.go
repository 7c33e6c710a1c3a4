package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/test/waittest"
)

// stopped runs the program, step by step, until it has made or removed something so many
// times and there is something to take away, and stops it there with SIGSTOP. It is nil
// when the program has ended before.
func stopped(t *testing.T, store string, changes, least int, args ...string) *exec.Cmd {
	t.Helper()
	last := things(t, store)
	before := len(last)
	cmd := start(t, args...)
	pid := cmd.Process.Pid
	ended := false
	waittest.Until(t, "the run makes something", func() bool {
		require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
		// A signal is sent, not delivered: the process goes on until its state says so.
		var info unix.Siginfo
		require.NoError(t, unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil))
		if ended = info.Code != cldStopped; ended {
			return true
		}
		now := things(t, store)
		if !slices.Equal(last, now) {
			last = now
			changes--
		}
		if changes <= 0 && len(now) >= before+least {
			return true
		}
		require.NoError(t, unix.Kill(pid, unix.SIGCONT))
		return false
	})
	if ended {
		require.NoError(t, cmd.Wait())
		return nil
	}
	return cmd
}

// cldStopped is CLD_STOPPED of bits/siginfo-consts.h.
const cldStopped = 5

// Whenever the program is killed, clean takes away all that it made, and nothing of
// anybody else's. The moments are changes that were seen on the machine: early ones, and
// later ones as long as the run lasts.
func TestKillAndClean(t *testing.T) {
	requireVM(t)
	store := newStore(t)
	foreign(t, store)
	before := things(t, store)
	for n := range 8 {
		var cmd *exec.Cmd
		after := 1 + 6*n
		for ; cmd == nil; after /= 2 {
			require.Positive(t, after, "the run has ended before anything was seen of it")
			cmd = stopped(t, store, after, 3, "run", "--tiny", "--rounds", "1", "--size", "1G", "--store", store, "--progress", "none",
				"--backends", "thin,overlay,fuse-overlayfs,btrfs,copy", "--scenarios", []string{"first-write", "fio", "lifecycle", "full"}[n%4])
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		left := things(t, store)
		t.Logf("killed with %v there", left)
		status, out, stderr := program("clean", "--store", store)
		require.Zero(t, status, "%s%s: there was %v", out, stderr, left)
		assert.ElementsMatch(t, before, things(t, store), "there was %v", left)
	}
}

// foreign makes things that look much like a run's and are not.
func foreign(t *testing.T, store string) {
	t.Helper()
	folder := filepath.Join(store, "cowbench-0badcafe")
	mounted := filepath.Join(store, "cowbench-mounted")
	for _, dir := range []string{folder, mounted} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "precious"), []byte("data"), 0o644))
	loop := loopOn(t, filepath.Join(folder, "image"), 64<<20)
	dm, err := devmapper.Open()
	require.NoError(t, err)
	name, err := devmapper.NewName("cowbench-0badcafe-data")
	require.NoError(t, err)
	_, err = dm.Activate(name, devmapper.UUID{}, devmapper.Single(1024, devmapper.Linear{Dev: devmapper.DevNo{Major: loop.Major, Minor: loop.Minor}}), devmapper.ReadWrite)
	require.NoError(t, err)
	require.NoError(t, unix.Mount("none", mounted, "tmpfs", 0, ""))
	t.Cleanup(func() {
		require.NoError(t, unix.Unmount(mounted, 0))
		require.NoError(t, dm.Remove(devmapper.ByName(name)))
		require.NoError(t, dm.Close())
	})
}

// A run that goes on is left alone by clean, and ends as it would have.
func TestCleanLeavesRunsAlone(t *testing.T) {
	requireVM(t)
	store := newStore(t)
	cmd := stopped(t, store, 1, 3, "run", "--tiny", "--rounds", "6", "--size", "1G", "--store", store, "--backends", "thin,overlay", "--scenarios", "first-write", "--progress", "none")
	require.NotNil(t, cmd)
	status, out, _ := program("clean", "--store", store)
	assert.Zero(t, status)
	assert.Contains(t, out, "is still running and is left alone")
	require.NoError(t, cmd.Process.Signal(unix.SIGCONT))
	require.NoError(t, cmd.Wait(), "it goes on")
	assert.Empty(t, things(t, store))
}

// An interrupt ends a run in order: nothing is left even without clean.
func TestInterrupt(t *testing.T) {
	requireVM(t)
	store := newStore(t)
	cmd := stopped(t, store, 1, 5, "run", "--tiny", "--size", "1G", "--store", store, "--backends", "thin,btrfs", "--scenarios", "metadata", "--progress", "none")
	require.NotNil(t, cmd)
	require.NoError(t, cmd.Process.Signal(unix.SIGTERM))
	require.NoError(t, cmd.Process.Signal(unix.SIGCONT))
	assert.Error(t, cmd.Wait())
	assert.Empty(t, things(t, store))
}

// Devices and folders that will not do are refused before anything is made.
func TestUnfitStores(t *testing.T) {
	requireVM(t)
	store := newStore(t)
	small := filepath.Join(store, "small")
	require.NoError(t, os.Mkdir(small, 0o755))
	require.NoError(t, unix.Mount("none", small, "tmpfs", 0, "size=64m"))
	defer func() { require.NoError(t, unix.Unmount(small, 0)) }()
	used := loopOn(t, filepath.Join(store, "used"), 64<<20)
	dm, err := devmapper.Open()
	require.NoError(t, err)
	defer func() { require.NoError(t, dm.Close()) }()
	name, err := devmapper.NewName("somebody-else")
	require.NoError(t, err)
	_, err = dm.Activate(name, devmapper.UUID{}, devmapper.Single(1024, devmapper.Linear{Dev: devmapper.DevNo{Major: used.Major, Minor: used.Minor}}), devmapper.ReadWrite)
	require.NoError(t, err)
	defer func() { require.NoError(t, dm.Remove(devmapper.ByName(name))) }()
	free := loopOn(t, filepath.Join(store, "free"), 64<<20)

	own := filepath.Join(store, "own")
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--store", small}, []string{"too small", "name another folder with --store"}},
		{[]string{"--store", filepath.Join(small, "file", "x")}, []string{"--store"}},
		{[]string{"--store", own, "--device", used.Path, "--yes-destroy", used.Path}, []string{used.Path, "is in use", "not touched"}},
		{[]string{"--store", own, "--device", free.Path, "--yes-destroy", free.Path}, []string{free.Path, "too small", "64MiB"}},
		{[]string{"--store", own, "--device", store, "--yes-destroy", store}, []string{"is not a block device"}},
		{[]string{"--store", own, "--device", "/dev/none", "--yes-destroy", "/dev/none"}, []string{"/dev/none", "no such file"}},
	} {
		if c.args[1] == filepath.Join(small, "file", "x") {
			require.NoError(t, os.WriteFile(filepath.Join(small, "file"), nil, 0o644))
		}
		said := complaint(t, 1, append([]string{"run", "--backends", "overlay,copy", "--scenarios", "changes"}, c.args...)...)
		for _, want := range c.says {
			assert.Contains(t, said, want)
		}
	}
}

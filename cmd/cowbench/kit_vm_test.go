package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/backend"
	"github.com/veneerdm/veneer/bench/disk"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
)

// asProgram makes the test binary be the program: so it can be killed.
const asProgram = "COWBENCH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func requireVM(t *testing.T) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

// start runs the program in a process of its own.
func start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	require.NoError(t, cmd.Start())
	return cmd
}

// newStore is a folder for runs, on the machine's scratch disk.
func newStore(t *testing.T) string {
	t.Helper()
	return t.TempDir() // TMPDIR lies there
}

// measured runs scenarios on backends and requires that all went well.
func measured(t *testing.T, p bench.Plan, source func(*disk.Folder) *disk.Source, names ...string) *bench.Result {
	t.Helper()
	folder, err := disk.NewFolder(newStore(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, folder.Close()) }()
	p.Dir, err = folder.Sub("stores")
	require.NoError(t, err)
	if p.Disk == nil {
		p.Disk = source(folder).Disk
	}
	for _, word := range names {
		name, of, renamed := strings.Cut(word, "=")
		if !renamed {
			of = name
		}
		b, err := backend.Find(of)
		require.NoError(t, err)
		p.Backends = append(p.Backends, bench.Entry{Name: name, Backend: b})
	}
	r, err := bench.Run(t.Context(), p)
	require.NoError(t, err)
	require.Empty(t, r.Failed())
	return r
}

// things are what exists on the machine that a run makes: mounts and files below a
// folder, loop devices over them, device-mapper devices.
func things(t *testing.T, store string) []string {
	t.Helper()
	var all []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, store+"/") {
			all = append(all, "mount "+point)
		}
	}
	loops, err := loopback.List()
	require.NoError(t, err)
	for _, l := range loops {
		if strings.HasPrefix(l.BackingFile, store+"/") {
			all = append(all, "loop of "+l.BackingFile)
		}
	}
	dm, err := devmapper.Open()
	require.NoError(t, err)
	defer func() { require.NoError(t, dm.Close()) }()
	devices, err := dm.List("")
	require.NoError(t, err)
	for _, d := range devices {
		all = append(all, "device "+d.Name)
	}
	entries, err := os.ReadDir(store)
	require.NoError(t, err)
	for _, e := range entries {
		all = append(all, "file "+filepath.Join(store, e.Name()))
	}
	return all
}

// loopOn attaches a file of a size as a loop device until the test ends.
func loopOn(t *testing.T, path string, size int64) loopback.Device {
	t.Helper()
	require.NoError(t, loopback.CreateImage(path, size))
	d, err := loopback.Attach(t.Context(), path, loopback.Options{DirectIO: true, BlockSize: 4096})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Detach(context.Background())) })
	return d
}

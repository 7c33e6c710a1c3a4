package e2e_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// withoutModule runs a test while the machine lacks a kernel module. Nothing may
// use it. It is for virtual machines only: a real machine's modules are not ours.
func withoutModule(t *testing.T, name, file string, test func()) {
	t.Helper()
	// The path of a module depends on who built the kernel.
	var uts unix.Utsname
	require.NoError(t, unix.Uname(&uts))
	release := unix.ByteSliceToString(uts.Release[:])
	var found []string
	for _, dir := range []string{os.Getenv("VENEER_VM_MODULES"), "/usr/lib/uml/modules/" + release, "/lib/modules/" + release} {
		matches, err := filepath.Glob(filepath.Join(dir, "kernel/drivers", file+".ko*"))
		require.NoError(t, err)
		found = append(found, matches...)
	}
	require.NotEmpty(t, found, "the file of module %s", name)
	module, err := os.Open(found[0])
	require.NoError(t, err)
	defer module.Close()
	require.NoError(t, unix.DeleteModule(name, unix.O_NONBLOCK))
	defer func() {
		flags := 0
		if !strings.HasSuffix(found[0], ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		require.NoError(t, unix.FinitModule(int(module.Fd()), "", flags))
	}()
	// The kernel would ask this program to load it again when somebody asks for it.
	const loader = "/proc/sys/kernel/modprobe"
	was, err := os.ReadFile(loader)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(loader, []byte("\n"), 0o644))
		defer func() { require.NoError(t, os.WriteFile(loader, was, 0o644)) }()
	}
	test()
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With --vm the program boots a machine for itself, through the program beside it, and
// its result is on the host and says where it was measured.
func TestRunInAVM(t *testing.T) {
	if os.Getenv("VENEER_VM") != "" {
		t.Skip("boots a VM, and is in one")
	}
	bin, out := t.TempDir(), t.TempDir()
	for name, source := range map[string]string{"cowbench": ".", "vm": "../../test/vm"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, name), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		said, err := build.CombinedOutput()
		require.NoError(t, err, string(said))
	}
	result := filepath.Join(out, "r.json")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "cowbench"), "run", "--vm", "--tiny", "--rounds", "1", "--size", "1G",
		"--backends", "thin,overlay", "--scenarios", "first-write", "--json", result, "--html", filepath.Join(out, "r.html"))
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	assert.Contains(t, string(said), "running in a virtual machine, as asked")
	assert.Contains(t, string(said), "What does it cost to change 4 KiB")
	r, err := readResult(result)
	require.NoError(t, err)
	assert.Len(t, r.Cells, 6)
	assert.FileExists(t, filepath.Join(out, "r.html"))
	if backend := r.Environment.Virtual; backend != "" { // natively, where dm-thin is there
		assert.Contains(t, string(said), "in a virtual machine ("+backend+")")
	}
}

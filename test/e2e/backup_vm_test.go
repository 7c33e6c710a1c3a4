package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the guide says of backups, done: the catalog is copied while the store is in use,
// the store goes on, the catalog is lost, and the copy is put back.
func TestBackupAndRestoreByTheirCommands(t *testing.T) {
	p := newProgramWithPool(t)
	p.do(t, "image", "import", "oci:"+layoutOf(t, "good:1", on(t, scratchImage(t), small(t, file("good", "good")))))
	p.do(t, "container", "create", "good:1", "--name", "old")
	p.do(t, "container", "create", "good:1", "--name", "gone")
	copied := filepath.Join(t.TempDir(), "catalog.copy")
	p.do(t, "backup", "-o", copied)
	p.do(t, "backup", "-o", "/dev/null")
	st, err := os.Stat("/dev/null")
	require.NoError(t, err)
	require.NotZero(t, st.Mode()&fs.ModeCharDevice, "a device is written to and not replaced")

	p.do(t, "container", "create", "good:1", "--name", "new")
	p.do(t, "container", "rm", "gone")
	r := p.run(t, "restore", filepath.Join(p.root, "pool", p.pool()+".metadata"))
	assert.NotZero(t, r.code)
	assert.Contains(t, r.stderr, "nothing was changed")
	require.NoError(t, os.Remove(filepath.Join(p.root, "catalog.db")))
	r = p.run(t, "restore", copied)
	assert.Equal(t, exitPool, r.code, r.stderr)
	assert.Contains(t, r.stdout, "recovered-")
	assert.Contains(t, r.stdout, `"container/gone" is lost`)

	assert.Contains(t, p.do(t, "container", "ls"), "old")
	assert.Contains(t, p.do(t, "image", "ls"), "good")
	lost := p.do(t, "snapshot", "ls", "--lost", "--quiet")
	assert.Equal(t, "container/gone", lost)
	assert.Equal(t, exitPool, p.run(t, "doctor").code)
	p.do(t, "snapshot", "rm", "container/gone")
	assert.Contains(t, p.do(t, "doctor"), "all is well")
	assert.Contains(t, p.do(t, "snapshot", "ls"), "recovered-", "what was made since is kept until somebody removes it")
}

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
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

// A layer that the pool has lost: the image's other users go on, and importing the image
// again mends it.
func TestALostLayerIsImportedAgain(t *testing.T) {
	p := newProgramWithPool(t)
	source := "oci:" + layoutOf(t, "good:1", on(t, scratchImage(t), small(t, file("below", "below")), small(t, file("above", "above"))))
	p.do(t, "image", "import", source)
	p.do(t, "container", "create", "good:1", "--name", "old")
	var layers []struct {
		Key    string `json:"key"`
		Kind   string `json:"kind"`
		ThinID uint32 `json:"thin_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(p.do(t, "snapshot", "ls", "--format", "json")), &layers))
	dm, err := devmapper.Open()
	require.NoError(t, err)
	defer func() { require.NoError(t, dm.Close()) }()
	pool, err := devmapper.NewName(p.pool())
	require.NoError(t, err)
	lost := 0
	for _, l := range layers {
		if l.Kind == "committed" {
			_, err = dm.Message(devmapper.ByName(pool), 0, fmt.Sprint("delete ", l.ThinID))
			require.NoError(t, err)
			lost++
		}
	}
	require.Equal(t, 2, lost)
	r := p.run(t, "doctor")
	assert.Equal(t, exitPool, r.code)
	p.run(t, "doctor", "--fix")
	r = p.run(t, "container", "create", "good:1")
	assert.Equal(t, exitPool, r.code)
	assert.Contains(t, r.stderr, "lost")
	p.do(t, "container", "clone", "old", "copy")
	p.do(t, "image", "import", source)
	assert.Contains(t, p.do(t, "doctor"), "all is well")
	p.do(t, "container", "create", "good:1", "--name", "new")
	for _, name := range []string{"old", "copy", "new"} {
		folder := t.TempDir()
		p.do(t, "container", "mount", name, folder)
		for _, want := range []string{"below", "above"} {
			got, err := os.ReadFile(filepath.Join(folder, want))
			require.NoError(t, err)
			assert.Equal(t, want, string(got))
		}
		p.do(t, "container", "umount", name)
	}
}

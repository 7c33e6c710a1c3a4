package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A node whose pool metadata was damaged: every command says what to do, nothing is
// written, and the repair brings the store back.
func TestDamagedPoolIsRepairedByItsCommands(t *testing.T) {
	p := newProgramWithPool(t)
	meta := filepath.Join(p.root, "pool", p.pool()+".metadata")
	p.do(t, "image", "ls") // makes the folders of the images
	p.refusesEach(t, []refusal{
		{"repair of an active pool", []string{"pool", "repair"}, exitInUse, []string{"is active", "veneer pool deactivate"}},
	})
	p.do(t, "pool", "deactivate")
	assert.Contains(t, p.do(t, "pool", "check"), "are whole")
	assert.Contains(t, p.do(t, "pool", "repair"), "nothing was done")
	flip := func(at int64) {
		f, err := os.OpenFile(meta, os.O_RDWR, 0)
		require.NoError(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		require.NoError(t, err)
		b[0] ^= 0x40
		_, err = f.WriteAt(b, at)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	flip(330) // in the superblock
	for _, command := range [][]string{{"pool", "status"}, {"pool", "check"}, {"image", "ls"}, {"doctor"}} {
		r := p.run(t, command...)
		assert.Equal(t, exitPool, r.code, "%v: %s", command, r.stderr)
		assert.Contains(t, r.stderr, "veneer pool repair", "%v", command)
	}
	said := p.do(t, "pool", "repair")
	assert.Contains(t, said, "the old one is kept in "+meta+".damaged")
	p.do(t, "pool", "status")
	assert.Contains(t, p.do(t, "doctor"), "all is well")
	p.do(t, "pool", "deactivate")
	require.NoError(t, os.Remove(meta+".damaged"))

	require.NoError(t, os.Remove(filepath.Join(p.root, "catalog.db")))
	r := p.run(t, "pool", "status")
	assert.Equal(t, exitPool, r.code)
	assert.Contains(t, r.stderr, "veneer doctor --fix")
	assert.Contains(t, p.do(t, "doctor", "--fix"), "recovered-0")
	p.do(t, "pool", "status")
}

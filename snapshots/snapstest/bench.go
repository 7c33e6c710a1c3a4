package snapstest

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
)

// bench is one case's machine and driver, with steps that must succeed.
type bench struct {
	*testing.T
	m Machine
	d *snapshots.Driver
}

// finish removes every snapshot, and then the pool must be as it was made, and
// after it the machine.
func (b *bench) finish() {
	b.Helper()
	ctx := b.Context()
	for {
		var leaves []string
		all := b.list()
		parents := map[string]bool{}
		for _, i := range all {
			parents[i.Parent] = true
		}
		for _, i := range all {
			if !parents[i.Key] {
				leaves = append(leaves, i.Key)
			}
		}
		if len(leaves) == 0 {
			break
		}
		for _, key := range leaves {
			require.NoError(b, b.d.Remove(ctx, key))
		}
	}
	require.NoError(b, b.d.Drain(ctx))
	info, err := b.d.Pool(ctx)
	require.NoError(b, err)
	assert.Zero(b, info.Trash, "everything was deleted")
	assert.Empty(b, info.Unknown)
	require.NoError(b, b.d.Close())
	require.NoError(b, b.d.Close(), "closing twice is no error")
	c, err := metadata.Open(filepath.Join(b.m.Config().Root, "catalog.db"), metadata.Options{MustExist: true})
	require.NoError(b, err)
	require.NoError(b, c.Check())
	require.NoError(b, c.Close())
	b.reopen()
	require.NoError(b, b.d.Deactivate(ctx))
	b.m.CheckPool(b)
	b.reopen()
	require.NoError(b, b.d.DestroyPool(ctx))
	assert.Empty(b, b.m.LeftOver(b), "left over after the pool was destroyed")
}

func (b *bench) reopen() {
	b.Helper()
	var err error
	b.d, err = snapshots.Open(b.Context(), b.m.Config())
	require.NoError(b, err)
}

func (b *bench) prepare(key, parent string, opts ...snapshots.Option) snapshots.Mount {
	b.Helper()
	m, err := b.d.Prepare(b.Context(), key, parent, opts...)
	require.NoError(b, err)
	return m
}

func (b *bench) commit(name, key string) {
	b.Helper()
	require.NoError(b, b.d.Commit(b.Context(), name, key))
}

func (b *bench) put(m snapshots.Mount, name, content string) {
	b.Helper()
	v := b.m.Mount(b, m)
	require.NoError(b, v.Put(name, content))
	require.NoError(b, v.Unmount())
}

func (b *bench) get(m snapshots.Mount, name string) string {
	b.Helper()
	v := b.m.Mount(b, m)
	content, err := v.Get(name)
	require.NoError(b, err)
	require.NoError(b, v.Unmount())
	return content
}

// layer makes a committed snapshot with one file.
func (b *bench) layer(name, parent, file, content string) {
	b.Helper()
	b.put(b.prepare(name+"-work", parent), file, content)
	b.commit(name, name+"-work")
}

func (b *bench) list() (all []snapshots.Info) {
	b.Helper()
	require.NoError(b, b.d.Walk(b.Context(), collect(&all)))
	return all
}

package snapstest

import (
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
)

// states are what a snapshot may be in when it is committed. Each gets a mounted volume
// with a file in it, and gives what is to be done after the commit.
var states = []struct {
	name  string
	bring func(b *bench, m snapshots.Mount, v Volume) (after func())
}{
	{"unmounted", func(b *bench, _ snapshots.Mount, v Volume) func() {
		require.NoError(b, v.Unmount())
		return nil
	}},
	{"unmounted, not active", func(b *bench, _ snapshots.Mount, v Volume) func() {
		require.NoError(b, v.Unmount())
		b.reboot()
		return nil
	}},
	{"not unmounted", func(b *bench, _ snapshots.Mount, v Volume) func() {
		b.m.Crash(b, v)
		return nil
	}},
	{"not unmounted, not active", func(b *bench, _ snapshots.Mount, v Volume) func() {
		b.m.Crash(b, v)
		b.reboot()
		return nil
	}},
	{"held by its device", func(b *bench, m snapshots.Mount, v Volume) func() {
		require.NoError(b, v.Unmount())
		return b.m.Hold(b, m)
	}},
	{"not unmounted, held by its device", func(b *bench, m snapshots.Mount, v Volume) func() {
		b.m.Crash(b, v)
		return b.m.Hold(b, m)
	}},
	{"mounted", func(b *bench, _ snapshots.Mount, v Volume) func() {
		return func() { require.NoError(b, v.Unmount()) }
	}},
}

// Every committed snapshot can be mounted read-only, from a view, whatever it was in when
// it was committed, and after a reboot.
func committedCanBeMounted(b *bench) {
	b.layer("base", "", "base", "content")
	for _, s := range states {
		m := b.prepare("work", "base")
		v := b.m.Mount(b, m)
		require.NoError(b, v.Put("a", s.name))
		after := s.bring(b, m, v)
		require.NoError(b, b.d.Commit(b.Context(), s.name, "work"), s.name)
		b.showsItsName(s.name)
		if after != nil {
			after()
		}
		require.NoError(b, b.d.Drain(b.Context()))
	}
	b.reboot()
	for _, s := range states {
		b.showsItsName(s.name)
	}
}

func (b *bench) reboot() {
	b.Helper()
	require.NoError(b, b.d.Close())
	b.m.Reboot(b)
	b.reopen()
}

// showsItsName expects a committed snapshot's file to have its name for content.
func (b *bench) showsItsName(name string) {
	b.Helper()
	view, err := b.d.View(b.Context(), "look", name)
	require.NoError(b, err, name)
	assert.Equal(b, name, b.get(view, "a"))
	info, err := b.d.Stat(b.Context(), name)
	require.NoError(b, err)
	assert.Equal(b, view.Type, info.Filesystem, name)
	require.NoError(b, b.d.Remove(b.Context(), "look"))
	require.NoError(b, b.d.Drain(b.Context()))
}

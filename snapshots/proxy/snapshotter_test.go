package proxy_test

import (
	"context"
	"strings"
	"testing"

	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

func newSnapshotter(t *testing.T) (*snapshots.Driver, *proxy.Snapshotter) {
	t.Helper()
	m := snapstest.NewFake(t)
	d, err := snapshots.CreatePool(t.Context(), m.Config(), m.Options())
	require.NoError(t, err)
	s := proxy.New(d)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return d, s
}

func TestSizeLabel(t *testing.T) {
	d, s := newSnapshotter(t)
	size := func(label string) csnapshots.Opt {
		return csnapshots.WithLabels(map[string]string{csnapshots.LabelSnapshotMaxSize: label})
	}
	_, err := s.Prepare(t.Context(), "a", "", size("134217728"))
	require.NoError(t, err)
	i, err := d.Stat(t.Context(), "a")
	require.NoError(t, err)
	assert.EqualValues(t, 128<<20, i.Size)
	for _, bad := range []string{"", "-1", "0", "10G", strings.Repeat("9", 30)} {
		_, err := s.Prepare(t.Context(), "b", "", size(bad))
		require.True(t, errdefs.IsInvalidArgument(err), "%q: %v", bad, err)
	}
}

func TestMappedOwners(t *testing.T) {
	_, s := newSnapshotter(t)
	m, err := s.Prepare(t.Context(), "a", "", csnapshots.WithLabels(map[string]string{
		csnapshots.LabelSnapshotUIDMapping: "0:100000:65536", csnapshots.LabelSnapshotGIDMapping: "0:100000:65536",
	}))
	require.NoError(t, err)
	assert.Equal(t, []string{"errors=remount-ro", "uidmap=0:100000:65536", "gidmap=0:100000:65536"}, m[0].Options)
	again, err := s.Mounts(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, m, again)
}

func TestFiltersAndLabels(t *testing.T) {
	ctx := t.Context()
	_, s := newSnapshotter(t)
	_, err := s.Prepare(ctx, "a", "", csnapshots.WithLabels(map[string]string{"x": "1", "with.dots/and-more": "2"}))
	require.NoError(t, err)
	require.NoError(t, s.Commit(ctx, "A", "a", csnapshots.WithLabels(map[string]string{"x": "1"})))
	_, err = s.View(ctx, "v", "A")
	require.NoError(t, err)
	names := func(filters ...string) (got []string) {
		t.Helper()
		require.NoError(t, s.Walk(ctx, func(_ context.Context, i csnapshots.Info) error { got = append(got, i.Name); return nil }, filters...))
		return got
	}
	assert.Equal(t, []string{"A", "v"}, names())
	assert.Equal(t, []string{"A"}, names("kind==committed"))
	assert.Equal(t, []string{"v"}, names("parent==A"))
	assert.Equal(t, []string{"A"}, names(`labels."x"==1`))
	assert.Equal(t, []string{"A", "v"}, names("name==v", "name==A"))
	assert.Empty(t, names("name==nobody"))
	require.Error(t, s.Walk(ctx, nil, "==="))

	i, err := s.Update(ctx, csnapshots.Info{Name: "A", Labels: map[string]string{"y": "2"}}, "labels.y", "labels.x")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"with.dots/and-more": "2", "y": "2"}, i.Labels)
	_, err = s.Update(ctx, csnapshots.Info{Name: "A"}, "parent")
	require.True(t, errdefs.IsInvalidArgument(err))
	_, err = s.Update(ctx, csnapshots.Info{Name: "nobody"})
	require.True(t, errdefs.IsNotFound(err))
}

func TestErrorsHaveContainerdsClasses(t *testing.T) {
	ctx := t.Context()
	_, s := newSnapshotter(t)
	_, err := s.Prepare(ctx, "a", "")
	require.NoError(t, err)
	_, err = s.Prepare(ctx, "a", "")
	assert.True(t, errdefs.IsAlreadyExists(err))
	require.NoError(t, s.Commit(ctx, "A", "a"))
	_, err = s.View(ctx, "v", "A")
	require.NoError(t, err)
	assert.True(t, errdefs.IsFailedPrecondition(s.Remove(ctx, "A")), "garbage collection goes on after this one only")
	assert.True(t, errdefs.IsNotFound(s.Remove(ctx, "nobody")))
	require.NoError(t, s.Remove(ctx, "v"))
	require.NoError(t, s.Remove(ctx, "A"))
	require.NoError(t, s.Cleanup(ctx))
	require.NoError(t, s.Close())
	_, err = s.Stat(ctx, "A")
	assert.True(t, errdefs.IsUnavailable(err))
}

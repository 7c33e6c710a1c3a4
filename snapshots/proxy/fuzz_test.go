package proxy_test

import (
	"context"
	"testing"

	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// Keys, parents, labels and filters of any bytes: containerd passes on what its
// clients say.
func FuzzSnapshotter(f *testing.F) {
	f.Add("key", "", "containerd.io/snapshot/max-size", "134217728", `kind==active`)
	f.Add("k/1/extract", "base", "containerd.io/snapshot/uidmapping", "0:1:2", `labels."a"==b`)
	f.Add("\xff\x00", "\xff", "\xff", "\xff", `parent~=^[`)
	f.Add("base", "base", "", "9223372036854775808", ``)
	f.Fuzz(func(t *testing.T, key, parent, label, value, filter string) {
		m := snapstest.NewFake(t)
		ctx := t.Context()
		config := m.Config()
		d, err := snapshots.CreatePool(ctx, config, m.Options())
		require.NoError(t, err)
		s := proxy.New(d)
		_, err = s.Prepare(ctx, "work", "")
		require.NoError(t, err)
		require.NoError(t, s.Commit(ctx, "base", "work"))
		opt := csnapshots.WithLabels(map[string]string{label: value})
		_, made := s.Prepare(ctx, key, parent, opt)
		if made == nil {
			_, err := s.Mounts(ctx, key)
			require.NoError(t, err, "what was made can be mounted")
			_, err = s.Usage(ctx, key)
			require.NoError(t, err)
		}
		_, _ = s.View(ctx, key+"v", parent, opt)                          // refused, or not
		_, _ = s.Stat(ctx, value)                                         // likewise
		_, _ = s.Update(ctx, csnapshots.Info{Name: key}, "labels."+label) // likewise
		_ = s.Walk(ctx, func(context.Context, csnapshots.Info) error { return nil }, filter)
		_ = s.Commit(ctx, value, key, opt)
		_ = s.Remove(ctx, key)
		_, err = d.Check(ctx)
		require.NoError(t, err)
		require.NoError(t, d.DestroyPool(ctx))
	})
}

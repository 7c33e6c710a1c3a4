package remote

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/waittest"
)

// Whatever a client sends: an answer or an error with its class, the store whole, and
// no panic.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"verb":"Prepare","key":"a"}`, `{"verb":"Prepare","key":"b","other":"base","size":134217728,"labels":{"x":"y"}}`,
		`{"verb":"View","key":"v","other":"base"}`, `{"verb":"Clone","key":"c","other":"active"}`, `{"verb":"Rollback","key":"active"}`,
		`{"verb":"Commit","key":"active","other":"done"}`, `{"verb":"Remove","key":"active"}`, `{"verb":"Resize","key":"active","size":18446744073709551615}`,
		`{"verb":"GrowPool","size":18446744073709551615,"meta":18446744073709551615}`, `{"verb":"Freed","keys":["base","active"]}`, `{"verb":"Walk"}`,
		`{"verb":"PutRecord","key":"r","data":"e30="}`, `{"verb":"Record","key":""}`, `{"verb":"Check"}`, `{"verb":"Pool"}`, `{"verb":`, `null`, `{"verb":"Prepare","key":"\ud800"}`,
	} {
		f.Add([]byte(seed), []byte(`{"verb":"Remove","key":"b"}`))
	}
	handle := Service().Methods[0].Handler
	f.Fuzz(func(t *testing.T, first, second []byte) {
		m := snapstest.NewFake(t)
		ctx := waittest.Context(t)
		config := m.Config()
		d, err := snapshots.CreatePool(ctx, config, m.Options())
		require.NoError(t, err)
		_, err = d.Prepare(ctx, "work", "")
		require.NoError(t, err)
		require.NoError(t, d.Commit(ctx, "base", "work"))
		_, err = d.Prepare(ctx, "active", "base")
		require.NoError(t, err)
		for _, raw := range [][]byte{first, second} {
			_, err := handle(d, ctx, func(v any) error { return codec{}.Unmarshal(raw, v) }, nil)
			if err == nil {
				require.NoError(t, ctx.Err(), "it took too long")
			}
		}
		_, err = d.Check(ctx)
		require.NoError(t, err)
		require.NoError(t, d.DestroyPool(ctx))
	})
}

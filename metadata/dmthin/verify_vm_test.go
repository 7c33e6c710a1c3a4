package dmthin_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

func verify(t *testing.T, path string) error {
	t.Helper()
	f, err := dmthin.OpenDirect(path)
	require.NoError(t, err)
	m, err := dmthin.Open(f)
	if err == nil {
		err = m.Verify(context.Background())
	}
	require.NoError(t, f.Close())
	return err
}

// What thin_check finds by reading a block, Verify finds: bits are flipped in every
// block of metadata that the reference tool wrote, its space maps included.
func TestVerifyFindsWhatThinCheckFinds(t *testing.T) {
	requireVM(t)
	pool := dmthintest.Pool{DataBlockSize: 128, Time: 9, Devices: map[dmthin.ThinID]dmthintest.Device{}}
	for id := range dmthin.ThinID(6) {
		d := dmthintest.Device{Mappings: map[uint64]dmthintest.Mapping{}}
		for v := range uint64(700) {
			d.Mappings[v*3] = dmthintest.Mapping{Data: v + 350*uint64(id), Time: uint32(id)}
		}
		pool.Devices[id] = d
	}
	path := restore(t, pool, 1024)
	require.NoError(t, verify(t, path))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(2, 3))
	both := 0
	for block := range len(whole) / dmthin.MetaBlockSize {
		if block > 50 && block%20 != 0 {
			continue // bitmaps are all alike
		}
		damaged := append([]byte(nil), whole...)
		damaged[block*dmthin.MetaBlockSize+r.IntN(dmthin.MetaBlockSize)] ^= 1 << r.IntN(8)
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		if exec.Command("thin_check", "-q", path).Run() == nil {
			continue
		}
		require.ErrorIs(t, verify(t, path), dmthin.ErrCorrupt, "block %d", block)
		both++
	}
	t.Logf("damage in %d blocks, and both noticed", both)
	require.Greater(t, both, 20)
}

package snapshots_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// Two stores whose pools are called "a" and "a-thin-7", and "a-7": what takes the devices
// of the one away leaves those of the others.
func TestPoolsWhoseNamesBeginAlike(t *testing.T) {
	for name, takeAway := range map[string]func(*snapshots.Driver, snapshots.Config) error{
		"destroy":    func(d *snapshots.Driver, _ snapshots.Config) error { return d.DestroyPool(t.Context()) },
		"deactivate": func(d *snapshots.Driver, _ snapshots.Config) error { return d.Deactivate(t.Context()) },
		"take down": func(d *snapshots.Driver, c snapshots.Config) error {
			if err := d.Close(); err != nil {
				return err
			}
			return snapshots.TakeDown(t.Context(), c)
		},
	} {
		m := snapstest.NewFake(t)
		options := m.Options()
		options.Name = "a"
		d, err := snapshots.CreatePool(t.Context(), m.Config(), options)
		require.NoError(t, err)
		_, err = d.Prepare(t.Context(), "container", "")
		require.NoError(t, err)
		others := map[string]string{
			"a-thin-7": "VENEER-a-thin-7-pool", "a-thin-7-thin-3": "VENEER-a-thin-7-3",
			"a-7": "VENEER-a-7-pool", "a-7-thin-3": "VENEER-a-7-3",
		}
		var want []string
		for device, uuid := range others {
			require.NoError(t, m.Kernel.CreateDevice(device, uuid))
			want = append(want, device)
		}
		require.NoError(t, takeAway(d, m.Config()), name)
		assert.ElementsMatch(t, want, m.Kernel.Devices(), name)
	}
}

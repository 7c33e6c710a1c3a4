package dmtest_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
)

var meta, data = devmapper.DevNo{Major: 7, Minor: 1}, devmapper.DevNo{Major: 7, Minor: 0}

func newPool(t *testing.T) (*dmtest.Kernel, *devmapper.Client, devmapper.Ref) {
	t.Helper()
	k := dmtest.New()
	k.AddDisk(meta, 16384)
	k.AddDisk(data, 131072)
	c := devmapper.New(k)
	name, err := devmapper.NewName("pool")
	require.NoError(t, err)
	info, err := c.Activate(name, devmapper.UUID{}, devmapper.Single(131072,
		devmapper.ThinPool{Metadata: meta, Data: data, BlockSize: 128}), devmapper.ReadWrite)
	require.NoError(t, err)
	return k, c, devmapper.ByDev(info.Dev)
}

func TestFaultHooks(t *testing.T) {
	k, c, pool := newPool(t)
	send := func(text string) error { _, err := c.Message(pool, 0, text); return err }
	var kinds []string
	var fired, second bool
	k.Inject(dmtest.InOrder(
		dmtest.FailNth("message create_thin", 1, syscall.EIO, &fired),
		dmtest.FailNth("resume", 0, syscall.ENOMEM, &second),
		func(call dmtest.Call) error {
			assert.Equal(t, "pool", call.Device, "however it was chosen")
			kinds = append(kinds, call.Kind())
			return nil
		},
	))
	require.NoError(t, send("create_thin 1"))
	require.NoError(t, send("delete 1"))
	require.ErrorIs(t, send("create_thin 2"), syscall.EIO)
	assert.True(t, fired)
	require.NoError(t, send("create_thin 2"), "only the one fails")
	require.NoError(t, c.Suspend(pool, 0))
	assert.False(t, second)
	require.ErrorIs(t, c.Resume(pool), syscall.ENOMEM)
	require.NoError(t, c.Resume(pool))
	assert.Equal(t, []string{"message create_thin", "message delete", "message create_thin", "message create_thin", "suspend", "resume", "resume"}, kinds)
}

func TestThinDevicesBehindTheDriversBack(t *testing.T) {
	k, c, pool := newPool(t)
	send := func(text string) error { _, err := c.Message(pool, 0, text); return err }
	assert.True(t, k.AddThin(meta, 7))
	assert.False(t, k.AddThin(meta, 7))
	assert.False(t, k.AddThin(data, 7), "no pool is there")
	require.ErrorIs(t, send("create_thin 7"), devmapper.ErrExist)
	name, err := devmapper.NewName("thin")
	require.NoError(t, err)
	_, err = c.Activate(name, devmapper.UUID{}, devmapper.Single(128, devmapper.Thin{Pool: devmapper.DevNo{Major: 253}, ID: 7}), devmapper.ReadWrite)
	require.NoError(t, err)
	assert.True(t, k.LoseThin(meta, 7), "active or not")
	assert.False(t, k.LoseThin(meta, 7))
	require.NoError(t, send("create_thin 7"))
	require.NoError(t, c.Remove(devmapper.ByName(name)))
	require.NoError(t, send("delete 7"))
	require.NoError(t, k.CreateDevice("half", "U"))
	require.ErrorIs(t, k.CreateDevice("half", ""), syscall.EBUSY)
	half, err := devmapper.NewName("half")
	require.NoError(t, err)
	info, err := c.Info(devmapper.ByName(half))
	require.NoError(t, err)
	assert.False(t, info.Active)
	assert.Equal(t, "U", info.UUID.String())
}

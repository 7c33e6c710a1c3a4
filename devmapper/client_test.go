package devmapper_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
)

var (
	meta = devmapper.DevNo{Major: 7, Minor: 1}
	data = devmapper.DevNo{Major: 7, Minor: 0}
)

func name(t *testing.T, s string) devmapper.Name {
	t.Helper()
	n, err := devmapper.NewName(s)
	require.NoError(t, err)
	return n
}

func newPool(t *testing.T) (*dmtest.Kernel, *devmapper.Client, devmapper.Info) {
	t.Helper()
	k := dmtest.New()
	k.AddDisk(meta, 16384)
	k.AddDisk(data, 131072)
	c := devmapper.New(k)
	info, err := c.Activate(name(t, "pool"), devmapper.UUID{}, devmapper.Single(131072,
		devmapper.ThinPool{Metadata: meta, Data: data, BlockSize: 128}), devmapper.ReadWrite)
	require.NoError(t, err)
	return k, c, info
}

func Example() {
	kernel := dmtest.New() // devmapper.Open() for the real one
	client := devmapper.New(kernel)
	defer func() { _ = client.Close() }()

	name, err := devmapper.NewName("nothing")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Activate(name, devmapper.UUID{}, devmapper.Single(2048, devmapper.Zero{}), devmapper.ReadOnly); err != nil {
		fmt.Println(err)
		return
	}
	table, err := client.Table(devmapper.ByName(name))
	fmt.Println(table, err)
	fmt.Println(client.Remove(devmapper.ByName(name)))
	_, err = client.Info(devmapper.ByName(name))
	fmt.Println(errors.Is(err, devmapper.ErrNotExist))
	// Output:
	// 0 2048 zero <nil>
	// <nil>
	// true
}

func TestLifeOfADevice(t *testing.T) {
	k := dmtest.New()
	c := devmapper.New(k)
	n := name(t, "a")
	uuid, err := devmapper.NewUUID("VENEER-test-1")
	require.NoError(t, err)

	info, err := c.Create(n, uuid)
	require.NoError(t, err)
	assert.False(t, info.Active)
	_, err = c.Create(n, devmapper.UUID{})
	assert.ErrorIs(t, err, devmapper.ErrExist, "a taken name is EBUSY and means: exists")
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.ErrorIs(t, err, syscall.EBUSY)
	_, err = c.Create(name(t, "b"), uuid)
	assert.ErrorIs(t, err, devmapper.ErrExist)

	require.NoError(t, c.Load(devmapper.ByUUID(uuid), devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly))
	require.NoError(t, c.Resume(devmapper.ByDev(info.Dev)))
	info, err = c.Info(devmapper.ByName(n))
	require.NoError(t, err)
	assert.True(t, info.Active && info.ReadOnly && !info.Suspended)

	require.NoError(t, c.Suspend(devmapper.ByName(n), devmapper.NoFlush))
	info, err = c.Info(devmapper.ByName(n))
	require.NoError(t, err)
	assert.True(t, info.Suspended)

	require.NoError(t, c.Rename(n, name(t, "c")))
	_, err = c.Info(devmapper.ByName(n))
	assert.ErrorIs(t, err, devmapper.ErrNotExist)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, c.Remove(devmapper.ByName(name(t, "c"))))
	assert.Empty(t, k.Devices())
}

func TestBusyAndDeferredRemoval(t *testing.T) {
	k, c, pool := newPool(t)
	ref := devmapper.ByName(pool.Name)
	disk, err := k.Open("pool")
	require.NoError(t, err)

	err = c.Remove(ref)
	assert.ErrorIs(t, err, devmapper.ErrBusy)
	assert.NotErrorIs(t, err, devmapper.ErrExist)
	removed, err := c.RemoveDeferred(ref)
	require.NoError(t, err)
	assert.False(t, removed)
	require.NoError(t, c.CancelDeferredRemove(ref))
	removed, err = c.RemoveDeferred(ref)
	require.NoError(t, err)
	assert.False(t, removed)
	require.NoError(t, disk.Close())
	assert.ErrorIs(t, c.Remove(ref), devmapper.ErrNotExist, "it went away at the last close")
}

func TestErrorsOfAPoolHaveTheirOwnMeaning(t *testing.T) {
	_, c, pool := newPool(t)
	ref := devmapper.ByDev(pool.Dev)
	send := func(text string) error { _, err := c.Message(ref, 0, text); return err }
	require.NoError(t, send("create_thin 1"))
	assert.ErrorIs(t, send("create_thin 1"), devmapper.ErrExist)
	assert.ErrorIs(t, send("create_snap 2 9"), devmapper.ErrNotExist)
	assert.ErrorIs(t, send("delete 9"), devmapper.ErrNotExist)
	assert.ErrorIs(t, send("create_thin 16777216"), devmapper.ErrInvalid)
	assert.ErrorIs(t, send("set_transaction_id 4 5"), devmapper.ErrInvalid)
	_, err := c.Activate(name(t, "t9"), devmapper.UUID{}, devmapper.Single(128, devmapper.Thin{Pool: pool.Dev, ID: 9}), devmapper.ReadWrite)
	assert.ErrorIs(t, err, devmapper.ErrNotExist)
	_, err = c.Info(devmapper.ByName(name(t, "t9")))
	assert.ErrorIs(t, err, devmapper.ErrNotExist, "a failed activation leaves nothing")

	var de *devmapper.Error
	require.ErrorAs(t, send("delete 9"), &de)
	assert.Equal(t, "delete 9", de.Detail)
	assert.Equal(t, syscall.ENODATA, de.Errno)
	assert.Contains(t, de.Error(), "message 253:0 (delete 9)")
}

func TestLongRepliesAreAskedForAgain(t *testing.T) {
	k := dmtest.New()
	c := devmapper.New(k)
	for i := range 400 {
		_, err := c.Create(name(t, fmt.Sprintf("a-device-with-a-long-name-%d", i)), devmapper.UUID{})
		require.NoError(t, err)
	}
	_, err := c.Create(name(t, "other"), devmapper.UUID{})
	require.NoError(t, err)
	all, err := c.List("a-device")
	require.NoError(t, err)
	assert.Len(t, all, 400)
}

func TestWatcherSeesEveryEvent(t *testing.T) {
	k := dmtest.New()
	c := devmapper.New(k)
	w, err := c.Watch()
	require.NoError(t, err)
	_, err = c.Create(name(t, "a"), devmapper.UUID{})
	require.NoError(t, err)
	require.NoError(t, w.Wait(t.Context()), "an event between Watch and Wait counts")

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, w.Wait(ctx), context.DeadlineExceeded)

	_, pc, pool := newPool(t)
	waitUntilRemoved(t, pc, devmapper.ByDev(pool.Dev), pool.Event)
}

// waitUntilRemoved waits for the next event of a device, as one does where the kernel
// cannot poll: the wait ends with its context, or with the event, of which the device's
// removal is one.
func waitUntilRemoved(t *testing.T, c *devmapper.Client, ref devmapper.Ref, event uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.WaitEvent(ctx, ref, event)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ended := make(chan error, 1)
	go func() {
		_, err := c.WaitEvent(t.Context(), ref, event)
		ended <- err
	}()
	require.NoError(t, c.Remove(ref))
	if err := <-ended; err != nil {
		require.ErrorIs(t, err, devmapper.ErrNotExist, "the removal came before the wait began")
	}
}

func TestNamesAreCheckedAndNeverCut(t *testing.T) {
	for _, bad := range []string{"", "a b", "a/b", "ä", "a\x00", ".", "..", "control", strings.Repeat("n", 128)} {
		_, err := devmapper.NewName(bad)
		assert.ErrorIs(t, err, devmapper.ErrInvalid, "%q", bad)
	}
	_, err := devmapper.NewName(strings.Repeat("n", 127))
	assert.NoError(t, err)
	_, err = devmapper.NewUUID(strings.Repeat("u", 129))
	assert.ErrorIs(t, err, devmapper.ErrInvalid)
	_, err = devmapper.New(dmtest.New()).Info(devmapper.Ref{})
	assert.Error(t, err, "the zero Ref selects nothing")
}

func TestTargetsPrintAndParse(t *testing.T) {
	d, e := devmapper.DevNo{Major: 253, Minor: 300}, devmapper.DevNo{Major: 7, Minor: 2}
	for _, c := range []struct {
		target devmapper.Target
		params string
	}{
		{devmapper.Linear{Dev: d, Offset: 2048}, "253:300 2048"},
		{devmapper.Zero{}, ""},
		{devmapper.Fault{}, ""},
		{devmapper.Delay{Dev: d, Read: 1, Write: 2, Flush: 3}, "253:300 0 1 253:300 0 2 253:300 0 3"},
		{devmapper.Flakey{Dev: d, Up: 5, Down: 6, Features: []string{"drop_writes"}}, "253:300 0 5 6 1 drop_writes"},
		{devmapper.Flakey{Dev: d, Up: 5}, "253:300 0 5 0"},
		{devmapper.LogWrites{Dev: d, Log: e}, "253:300 7:2"},
		{devmapper.Dust{Dev: d, BlockSize: 512}, "253:300 0 512"},
		{devmapper.Thin{Pool: d, ID: 1<<24 - 1}, "253:300 16777215"},
		{devmapper.Thin{Pool: d, ID: 1, Origin: e}, "253:300 1 7:2"},
		{devmapper.ThinPool{Metadata: d, Data: e, BlockSize: 128, LowWater: 4}, "253:300 7:2 128 4 0"},
		{devmapper.ThinPool{Metadata: d, Data: e, BlockSize: 1024, SkipBlockZeroing: true, ErrorIfNoSpace: true},
			"253:300 7:2 1024 0 2 skip_block_zeroing error_if_no_space"},
	} {
		assert.Equal(t, c.params, c.target.Params())
		got, err := devmapper.ParseTarget(c.target.Type(), c.params)
		require.NoError(t, err)
		assert.Equal(t, c.target, got)
	}
	got, err := devmapper.ParseTarget("thin-pool", "1:2 3:4 128 0 2 new_feature error_if_no_space")
	require.NoError(t, err)
	assert.Equal(t, "1:2 3:4 128 0 2 error_if_no_space new_feature", got.Params(), "a feature of a newer kernel survives")
	for kind, bad := range map[string]string{"thin": "1:2", "linear": "a 0", "thin-pool": "1:2 3:4 128 0 3 x", "zero": "x", "dust": "1:2 0"} {
		_, err := devmapper.ParseTarget(kind, bad)
		assert.ErrorIs(t, err, devmapper.ErrInvalid, kind)
	}
	raw, err := devmapper.ParseTarget("crypt", "aes key")
	require.NoError(t, err)
	assert.Equal(t, devmapper.Raw{Kind: "crypt", Text: "aes key"}, raw)
}

func FuzzTargets(f *testing.F) {
	f.Add("thin-pool", "1:2 3:4 128 0 1 read_only")
	f.Add("flakey", "1:2 0 1 2 1 drop_writes")
	f.Add("delay", "1:2 0 5")
	f.Fuzz(func(t *testing.T, kind, params string) {
		first, err := devmapper.ParseTarget(kind, params)
		if err != nil {
			return
		}
		second, err := devmapper.ParseTarget(kind, first.Params())
		require.NoError(t, err)
		require.Equal(t, first.Params(), second.Params())
	})
}

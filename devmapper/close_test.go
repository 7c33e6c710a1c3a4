package devmapper_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
)

// newClosable gives a client on a descriptor that tells of calls after its close.
func newClosable(t *testing.T) (*dmtest.Kernel, *devmapper.Client) {
	t.Helper()
	k := dmtest.New()
	descriptor, err := k.Fork()
	require.NoError(t, err)
	return k, devmapper.New(descriptor)
}

func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	k, c := newClosable(t)
	entered, release := k.Hold(func(call dmtest.Call) bool { return call.Op == "create" })
	created := make(chan error, 1)
	go func() {
		_, err := c.Create(name(t, "a"), devmapper.UUID{})
		created <- err
	}()
	<-entered
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- c.Close() }()
	}
	for {
		_, err := c.Version()
		if err != nil {
			require.ErrorIs(t, err, devmapper.ErrClosed, "later calls are refused while Close waits")
			break
		}
	}
	assert.Empty(t, closed)
	release()
	require.NoError(t, <-created, "what was under way is done")
	require.NoError(t, <-closed)
	require.NoError(t, <-closed, "closing twice is no error")
	assert.Equal(t, []string{"a"}, k.Devices())
	assert.Zero(t, k.LateCalls())

	_, err := c.Info(devmapper.ByName(name(t, "a")))
	require.ErrorIs(t, err, devmapper.ErrClosed)
	_, err = c.Watch()
	require.ErrorIs(t, err, devmapper.ErrClosed)
	_, err = c.WaitEvent(t.Context(), devmapper.ByName(name(t, "a")), 0)
	require.ErrorIs(t, err, devmapper.ErrClosed)
	assert.Zero(t, k.LateCalls())
}

// Many goroutines use a client and its watchers while another one closes them.
func TestNoCallUsesAClosedDescriptor(t *testing.T) {
	k, c := newClosable(t)
	w, err := c.Watch()
	require.NoError(t, err)
	var begun, ended sync.WaitGroup
	until := func(call func(i int) error) {
		for i := range 8 {
			begun.Add(1)
			ended.Go(func() {
				first := sync.OnceFunc(begun.Done)
				for {
					err := call(i)
					first()
					if err != nil {
						assert.ErrorIs(t, err, devmapper.ErrClosed)
						return
					}
				}
			})
		}
	}
	until(func(int) error { _, err := c.List(""); return err })
	until(func(i int) error {
		n := name(t, string(rune('a'+i)))
		_, err := c.Activate(n, devmapper.UUID{}, devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
		if err == nil {
			err = c.Remove(devmapper.ByName(n))
		}
		return err
	})
	until(func(int) error {
		w, err := c.Watch()
		if err != nil {
			return err
		}
		return w.Close()
	})
	until(func(int) error { return w.Wait(t.Context()) })
	begun.Wait()
	require.NoError(t, c.Close())
	require.NoError(t, w.Close())
	ended.Wait()
	assert.Zero(t, k.LateCalls())
}

func TestCloseEndsWaits(t *testing.T) {
	k, c := newClosable(t)
	w, err := c.Watch()
	require.NoError(t, err)
	_, err = c.Create(name(t, "a"), devmapper.UUID{})
	require.NoError(t, err)
	require.NoError(t, w.Wait(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Wait(context.Background()) }()
	require.NoError(t, w.Close())
	require.ErrorIs(t, <-ended, devmapper.ErrClosed)
	require.ErrorIs(t, w.Wait(t.Context()), devmapper.ErrClosed)
	require.NoError(t, w.Close())

	// Interfaces below 4.37 wait in the kernel, on a descriptor of the wait's own.
	entered, release := k.Hold(func(call dmtest.Call) bool { return call.Op == "wait" })
	go func() {
		_, err := c.WaitEvent(context.Background(), devmapper.ByName(name(t, "a")), 0)
		ended <- err
	}()
	<-entered
	release()
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-ended, devmapper.ErrClosed)
	assert.Zero(t, k.LateCalls())
}

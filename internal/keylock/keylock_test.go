package keylock_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/internal/keylock"
)

func TestLock(t *testing.T) {
	var locks keylock.Locks[string]
	var wg sync.WaitGroup
	count := 0
	for range 50 {
		wg.Go(func() {
			unlock, err := locks.Lock(t.Context(), "a")
			if assert.NoError(t, err) {
				count++
				unlock()
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 50, count)

	unlockA, err := locks.Lock(t.Context(), "a")
	require.NoError(t, err)
	unlockB, err := locks.Lock(t.Context(), "b")
	require.NoError(t, err, "another key is free")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = locks.Lock(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	unlockA()
	unlockB()
}

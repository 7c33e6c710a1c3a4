package waittest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, calls := time.Now(), 0
		Until(t, "the third call", func() bool { calls++; return calls == 3 })
		assert.Equal(t, 3*firstPause, time.Since(began))
		own := errors.New("its own")
		err := until(func() error { return own })
		assert.ErrorIs(t, err, ErrHang)
		assert.ErrorIs(t, err, own)
		assert.GreaterOrEqual(t, time.Since(began), Hang)
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := errors.New("its own")
		assert.ErrorIs(t, Ends(func() error { return own }), own)
		release := make(chan struct{})
		assert.ErrorIs(t, Ends(func() error { <-release; return nil }), ErrHang)
		close(release)
	})
}

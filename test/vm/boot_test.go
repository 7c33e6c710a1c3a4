package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBootsAgainAfterAnEarlyTimerAlone(t *testing.T) {
	other := errors.New("another")
	early := fmt.Errorf("boot: %w", errEarlyTimer)
	for _, c := range []struct {
		answers []error
		boots   int
		want    error
	}{
		{[]error{nil}, 1, nil},
		{[]error{early, early, nil}, 3, nil},
		{[]error{early, other}, 2, other},
		{[]error{other}, 1, other},
		{[]error{early, early, early, early, early, nil}, bootTries, errEarlyTimer},
	} {
		boots := 0
		status, err := bootedAgain(func() (int, error) { boots++; return boots, c.answers[boots-1] })
		assert.Equal(t, c.boots, boots)
		assert.Equal(t, boots, status, "of the last boot")
		require.ErrorIs(t, err, c.want)
	}
}

func TestConsoleSays(t *testing.T) {
	c := &console{}
	assert.False(t, c.says(earlyTimer))
	c.add("Kernel panic - not syncing: Attempted to kill init!")
	assert.False(t, c.says(earlyTimer))
	c.add("[    0.0] Kernel panic - not syncing: Segfault with no mm")
	assert.True(t, c.says(earlyTimer))
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// roleVariable makes the test binary a test program of a mutant.
const roleVariable = "VENEER_MUTATE_ROLE"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "sandbox" {
		fmt.Println(sandbox(os.Args[1:]))
		os.Exit(exitSandbox)
	}
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "spin":
		for n := 0; ; n++ {
			spun.Store(int64(n))
		}
	case "wait":
		_ = syscall.Pause()
	default: // a file to write
		inside, outside := filepath.Join(os.TempDir(), "file"), filepath.Join(role, "file")
		fmt.Println(os.WriteFile(inside, nil, 0o600), errors.Is(os.WriteFile(outside, nil, 0o600), syscall.EROFS))
		os.Exit(7)
	}
}

var spun atomic.Int64

// program gives a job whose test program is this one in a role.
func program(t *testing.T, role string) (*job, string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(roleVariable, role)
	return &job{Program: self, Env: os.Environ(), Scratch: t.TempDir(), CPU: time.Second, Wall: time.Hour}, self
}

func TestSandboxKeepsWritesInside(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	outside := t.TempDir()
	j, self := program(t, outside)
	r, err := j.test(t.Context(), ".", self, 1)
	require.NoError(t, err)
	assert.Equal(t, "<nil> true\n", r.output)
	assert.Equal(t, 7, r.status)
	assert.False(t, r.stopped)
	left, err := os.ReadDir(j.Scratch)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestLimits(t *testing.T) {
	j, self := program(t, "spin")
	r, err := j.test(t.Context(), ".", self, 1)
	require.NoError(t, err)
	assert.True(t, r.stopped)
	assert.GreaterOrEqual(t, r.cpu, j.CPU)

	j, self = program(t, "wait")
	j.CPU, j.Wall = time.Hour, time.Millisecond
	r, err = j.test(t.Context(), ".", self, 1)
	require.NoError(t, err)
	assert.True(t, r.stopped)
}

// A sandbox that cannot be made is an error, not a test that failed.
func TestNoSandbox(t *testing.T) {
	j, _ := program(t, "")
	_, err := j.test(t.Context(), ".", filepath.Join(t.TempDir(), "absent"), 1)
	require.ErrorContains(t, err, "absent")
}

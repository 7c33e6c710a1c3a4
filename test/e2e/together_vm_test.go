package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/test/waittest"
)

// serve runs the daemon until the test ends.
func (p *program) serve(t *testing.T) (address string) {
	t.Helper()
	address = filepath.Join(p.dir, "socket")
	cmd := p.command(context.Background(), "--address", address, "serve")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		err := cmd.Wait()
		if _, failed := errors.AsType[*exec.ExitError](err); failed {
			t.Errorf("the daemon: %v: %s", err, said.String())
		}
	})
	waittest.Until(t, "the daemon answers", func() bool {
		// A command would open the store itself as long as the daemon has not.
		_, err := os.Stat(address)
		return err == nil
	})
	return address
}

// Two imports at once through the daemon, of images that share layers and of others, while
// other commands look: all of them end well.
func TestImportsAtOnceThroughTheDaemon(t *testing.T) {
	p := newProgramWithPool(t)
	below := small(t, noise("below", 8*mib, 3))
	sources := map[string]string{
		"one":   "oci:" + layoutOf(t, "one:1", on(t, scratchImage(t), below, small(t, file("a", "one")))),
		"two":   "oci:" + layoutOf(t, "two:1", on(t, scratchImage(t), below, small(t, file("a", "two")))),
		"three": "oci:" + layoutOf(t, "three:1", on(t, scratchImage(t), small(t, noise("alone", 4*mib, 5)))),
	}
	address := p.serve(t)
	var all sync.WaitGroup
	for name, source := range sources {
		for range 2 { // each of them twice
			all.Go(func() {
				r := p.run(t, "--address", address, "image", "import", source)
				assert.Zero(t, r.code, "%s: %s", name, r.stderr)
			})
		}
		all.Go(func() {
			r := p.run(t, "--address", address, "__complete", "image", "rm", "")
			assert.Zero(t, r.code, r.stderr)
			r = p.run(t, "--address", address, "image", "ls")
			assert.Zero(t, r.code, r.stderr)
		})
	}
	all.Wait()
	for name := range sources {
		p.do(t, "--address", address, "container", "create", name+":1", "--name", name)
	}
	folder := t.TempDir()
	p.do(t, "--address", address, "container", "mount", "two", folder)
	got, err := os.ReadFile(filepath.Join(folder, "a"))
	require.NoError(t, err)
	assert.Equal(t, "two", string(got))
	p.do(t, "--address", address, "container", "umount", "two")
	assert.Contains(t, p.do(t, "--address", address, "doctor"), "all is well")
}

// Who waits for another command ends with Ctrl-C, and leaves the other alone.
func TestWaitingForImagesIsInterrupted(t *testing.T) {
	p := newProgramWithPool(t)
	source := "oci:" + layoutOf(t, "one:1", on(t, scratchImage(t), small(t, file("a", "one"))))
	address := p.serve(t)
	lock, err := os.OpenFile(filepath.Join(p.root, "images.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	cmd := p.command(t.Context(), "--address", address, "image", "import", source)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	b := make([]byte, 100)
	n, err := stderr.Read(b)
	require.NoError(t, err)
	assert.Contains(t, string(b[:n]), "waiting for another command")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	err = cmd.Wait()
	var ended *exec.ExitError
	require.ErrorAs(t, err, &ended)
	require.NoError(t, lock.Close())
	p.do(t, "--address", address, "image", "import", source)
}

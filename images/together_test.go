package images_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
)

// whole asks that an image has all of its layers and blobs.
func (b *bench) whole(t *testing.T, r images.Record) {
	t.Helper()
	for _, l := range r.Layers {
		_, err := b.driver.Stat(ctx, l.ChainID.String())
		assert.NoError(t, err, "%s has lost a layer", r.Name)
		assert.FileExists(t, filepath.Join(b.root, "content/blobs/sha256", l.Digest.Encoded()), "%s has lost a blob", r.Name)
	}
	assert.FileExists(t, filepath.Join(b.root, "content/blobs/sha256", r.Manifest.Digest.Encoded()))
	assert.FileExists(t, filepath.Join(b.root, "content/blobs/sha256", r.ID().Encoded()))
}

// halfway runs an import in the background and gives its result once a layer of it is to
// be committed; goOn lets it go on.
func (b *bench) halfway(ctx context.Context, t *testing.T, source string, opts images.ImportOptions) (result <-chan error, goOn func()) {
	t.Helper()
	there, on := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.driver.FailWith(func(verb, _ string) error {
		if verb != "commit" {
			return nil
		}
		first := false
		once.Do(func() { first = true })
		if first {
			close(there)
			<-on
		}
		return nil
	})
	ended := make(chan error, 1)
	go func() {
		_, err := b.Import(ctx, source, opts)
		ended <- err
	}()
	select {
	case <-there:
	case err := <-ended:
		require.Fail(t, "the import ended before it committed a layer", "%v", err)
	}
	return ended, func() { close(on) }
}

// A second Store is opened, as by shell completion, while an import reads from an archive
// that had to be unpacked first.
func TestASecondOpeningDisturbsNoImport(t *testing.T) {
	b := newBench(t)
	web, _ := twoImages(t)
	packed, err := os.ReadFile(pack(t, layout(t, t.TempDir(), web)))
	require.NoError(t, err)
	zipped := filepath.Join(t.TempDir(), "image.tar.gz")
	require.NoError(t, os.WriteFile(zipped, gz(t, packed).data, 0o600))
	result, goOn := b.halfway(ctx, t, zipped, images.ImportOptions{})
	other, err := images.Open(b.config)
	require.NoError(t, err)
	_, err = other.Images()
	require.NoError(t, err)
	goOn()
	require.NoError(t, <-result)
	r, err := b.Lookup(web.name)
	require.NoError(t, err)
	b.whole(t, r)
}

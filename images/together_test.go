package images_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	. "github.com/veneerdm/veneer/images/internal/treetest"
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

// While an image is removed, one that shares its layers is imported and recorded: its
// import has ended, and what it needs stays all the same.
func TestARemovalSparesWhatWasJustRecorded(t *testing.T) {
	b := newBench(t)
	web, _ := twoImages(t)
	below := build(t, "example.com/below:1", web.layers[:2]...)
	_, err := b.Import(ctx, layout(t, t.TempDir(), web), images.ImportOptions{})
	require.NoError(t, err)
	var once sync.Once
	b.driver.FailWith(func(verb, _ string) error {
		if verb == "remove" {
			once.Do(func() {
				_, err := b.Import(ctx, layout(t, t.TempDir(), below), images.ImportOptions{})
				assert.NoError(t, err)
			})
		}
		return nil
	})
	_, err = b.Remove(ctx, web.name, images.RemoveOptions{})
	require.NoError(t, err)
	r, err := b.Lookup(below.name)
	require.NoError(t, err)
	b.whole(t, r)
}

// Two imports that need the same layer: the one that is at work with it is given up, and
// the other takes over.
func TestTheSecondImportTakesOver(t *testing.T) {
	web, lang := twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)
	for _, second := range []built{web, lang} {
		b := newBench(t)
		short, cancel := context.WithCancel(ctx)
		first, goOn := b.halfway(short, t, "oci:"+dir+":"+web.name, images.ImportOptions{})
		other := make(chan error, 1)
		go func() {
			_, err := b.Import(ctx, "oci:"+dir+":"+second.name, images.ImportOptions{})
			other <- err
		}()
		cancel()
		goOn()
		require.ErrorIs(t, <-first, context.Canceled)
		require.NoError(t, <-other)
		r, err := b.Lookup(second.name)
		require.NoError(t, err)
		b.whole(t, r)
		for key := range b.driver.Keys() {
			assert.NotContains(t, key, "import/")
		}
	}
}

// Imports, removals and collections of images that share layers, at once: an image is
// whole from the end of its import to its own removal.
func TestImagesAreWholeWhileOthersComeAndGo(t *testing.T) {
	b := newBench(t)
	layers := make([]blob, 4)
	for i := range layers {
		layers[i] = gz(t, Tar(t, File("f", strings.Repeat(string(rune('a'+i)), 1000))))
	}
	var all []built
	for i := range layers {
		all = append(all, build(t, "example.com/image"+string(rune('a'+i))+":1", layers[:i+1]...))
	}
	dir := layout(t, t.TempDir(), all...)
	var group sync.WaitGroup
	for _, img := range all {
		group.Go(func() {
			for range 40 {
				r, err := b.Import(ctx, "oci:"+dir+":"+img.name, images.ImportOptions{})
				if !assert.NoError(t, err) {
					return
				}
				b.whole(t, r)
				_, err = b.Collect(ctx)
				assert.NoError(t, err)
				b.whole(t, r)
				_, err = b.Remove(ctx, img.name, images.RemoveOptions{})
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	assert.Empty(t, b.driver.Keys())
	assert.Empty(t, b.blobs(t))
}

package images_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/snapshots"
)

var ctx = context.Background()

// twoImages are two images on one base, each layer in another form.
func twoImages(tb testing.TB) (web, lang built) {
	tb.Helper()
	base := gz(tb, Tar(tb, Folder("bin"), File("bin/sh", "shell"), File("etc/os", "linux")))
	libs := layerBlob(tb, ocispec.MediaTypeImageLayerZstd, Tar(tb, File("lib/libc", strings.Repeat("c", 100_000))))
	top1 := layerBlob(tb, ocispec.MediaTypeImageLayer, Tar(tb, File("bin/web", "web"), File("etc/.wh.os", "")))
	top2 := gz(tb, Tar(tb, File("bin/lang", "lang")))
	return build(tb, "example.com/web:1", base, libs, top1), build(tb, "example.com/lang:2", base, libs, top2)
}

func TestImportKeysLayersByChainAndSharesThem(t *testing.T) {
	b := newBench(t)
	web, lang := twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)

	r, err := b.Import(ctx, "oci:"+dir+":example.com/web:1", images.ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, "example.com/web:1", r.Name)
	assert.Equal(t, web.manifest.desc.Digest, r.Manifest.Digest)
	assert.Equal(t, web.config.desc.Digest, r.ID())
	assert.Equal(t, birthday, r.Created)
	assert.Equal(t, []string{"bin", "bin/sh", "bin/web", "etc", "lib", "lib/libc"}, tree(t, b.driver.Dir(r.Top())))

	second, err := b.Import(ctx, "oci:"+dir+":2", images.ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, "example.com/lang:2", second.Name)
	assert.Equal(t, chains(r)[:2], chains(second)[:2])
	assert.Len(t, b.driver.Keys(), 4, "four layers are stored, not six")
	for key, kind := range b.driver.Keys() {
		assert.Equal(t, snapshots.KindCommitted, kind, key)
	}
	stored, err := b.Lookup("example.com/web:1")
	require.NoError(t, err)
	assert.Equal(t, r, stored)
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if rel, ok := strings.CutPrefix(path, dir+"/"); ok {
			list = append(list, rel)
		}
		return err
	}))
	return list
}

// Whatever form an image comes in, the snapshots are the same.
func TestImportFromEverySource(t *testing.T) {
	web, _ := twoImages(t)
	dir := layout(t, t.TempDir(), web)
	archive := pack(t, dir)
	packed, err := os.ReadFile(archive)
	require.NoError(t, err)
	zipped := filepath.Join(t.TempDir(), "image.tar.gz")
	require.NoError(t, os.WriteFile(zipped, gz(t, packed).data, 0o600))
	docker := dockerArchive(t, web)
	sources := map[string]string{
		"directory": "oci:" + dir, "bare directory": dir, "archive": "oci-archive:" + archive, "bare archive": archive,
		"compressed archive": zipped, "docker archive": "docker-archive:" + docker, "bare docker archive": docker,
		"docker archive by name": "docker-archive:" + docker + ":example.com/web:1",
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			r, err := b.Import(ctx, source, images.ImportOptions{Name: "example.com/web:1"})
			require.NoError(t, err)
			assert.Equal(t, web.config.desc.Digest, r.ID())
			assert.Equal(t, []string{"bin", "bin/sh", "bin/web", "etc", "lib", "lib/libc"}, tree(t, b.driver.Dir(r.Top())))
			spool, err := filepath.Glob(filepath.Join(b.root, "spool/*"))
			require.NoError(t, err)
			assert.Empty(t, spool)
		})
	}
}

// dockerArchive writes what docker save does, one layer as a link to a shared one.
func dockerArchive(t *testing.T, list ...built) string {
	t.Helper()
	dir := t.TempDir()
	type entry struct {
		Config           string
		RepoTags, Layers []string
	}
	var manifest []entry
	for _, b := range list {
		e := entry{Config: b.config.desc.Digest.Encoded() + ".json", RepoTags: []string{b.name}}
		require.NoError(t, os.WriteFile(filepath.Join(dir, e.Config), b.config.data, 0o600))
		for _, l := range b.layers {
			name := l.desc.Digest.Encoded()[:12] + "/layer.tar"
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), l.data, 0o600))
			e.Layers = append(e.Layers, name)
		}
		manifest = append(manifest, e)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), marshal(t, manifest), 0o600))
	return pack(t, dir)
}

func TestImportAgainDoesNothing(t *testing.T) {
	b := newBench(t)
	web, _ := twoImages(t)
	dir := layout(t, t.TempDir(), web)
	first, err := b.Import(ctx, dir, images.ImportOptions{})
	require.NoError(t, err)
	prepared := b.driver.Calls("prepare")
	var phases []images.Phase
	second, err := b.Import(ctx, dir, images.ImportOptions{Progress: func(e images.Event) { phases = append(phases, e.Phase) }})
	require.NoError(t, err)
	assert.Equal(t, prepared, b.driver.Calls("prepare"))
	assert.Equal(t, first.Layers, second.Layers)
	assert.Equal(t, []images.Phase{"waiting", "waiting", "waiting", "exists", "exists", "exists"}, phases)
}

func TestImportReportsProgress(t *testing.T) {
	b := newBench(t)
	big := gz(t, Tar(t, File("big", string(noise(5<<20)))))
	img := build(t, "example.com/big:1", big)
	var events []images.Event
	_, err := b.Import(ctx, layout(t, t.TempDir(), img), images.ImportOptions{Progress: func(e images.Event) { events = append(events, e) }})
	require.NoError(t, err)
	last := map[images.Phase]int64{}
	for _, e := range events {
		assert.Equal(t, "example.com/big:1", e.Image)
		assert.Equal(t, big.desc.Digest, e.Digest)
		assert.Equal(t, big.desc.Size, e.Total)
		assert.GreaterOrEqual(t, e.Bytes, last[e.Phase])
		last[e.Phase] = e.Bytes
	}
	assert.Equal(t, images.PhaseWaiting, events[0].Phase)
	assert.Equal(t, images.PhaseDone, events[len(events)-1].Phase)
	assert.Equal(t, big.desc.Size, last[images.PhaseDone])
	assert.Greater(t, last[images.PhaseDownloading], int64(3<<20))
	assert.Greater(t, last[images.PhaseApplying], int64(3<<20))
}

// A layer that is bad in any way is an error of its class, and leaves nothing.
func TestBadLayers(t *testing.T) {
	good := gz(t, Tar(t, File("good", "good")))
	entry := Tar(t, File("a", string(noise(50_000))))
	bad := gz(t, entry)
	with := func(change func(*blob)) blob {
		b := bad
		change(&b)
		return b
	}
	cut := func(b *blob) { b.data = b.data[:len(b.data)/2]; b.desc = describe(b.desc.MediaType, b.data) }
	tests := map[string]struct {
		bad    blob
		limits layer.Limits
		want   error
	}{
		"blob is shorter than promised": {with(func(b *blob) { b.data = b.data[:100] }), layer.Limits{}, images.ErrTruncated},
		"blob is longer than promised":  {with(func(b *blob) { b.data = append(slices.Clip(b.data), 'x') }), layer.Limits{}, images.ErrDigestMismatch},
		"blob is corrupt":               {with(func(b *blob) { b.data = append([]byte{0}, b.data[1:]...) }), layer.Limits{}, images.ErrDigestMismatch},
		"compression is cut":            {with(cut), layer.Limits{}, images.ErrTruncated},
		"tar is cut":                    {gz(t, entry[:20_000]), layer.Limits{}, images.ErrTruncated},
		"content has another digest":    {with(func(b *blob) { b.diffID = good.diffID }), layer.Limits{}, images.ErrDigestMismatch},
		"no tar":                        {gz(t, noise(4096)), layer.Limits{}, images.ErrMalformed},
		"bomb":                          {gz(t, Tar(t, File("zeros", string(make([]byte, 8<<20))))), layer.Limits{Ratio: 50, RatioFloor: 1 << 20}, images.ErrHostile},
		"too large":                     {bad, layer.Limits{Bytes: 1000}, images.ErrHostile},
		"escape":                        {gz(t, Tar(t, File("../escape", "x"))), layer.Limits{}, images.ErrHostile},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Limits = test.limits
			b.reopen(t)
			img := build(t, "example.com/bad:1", good, test.bad)
			_, err := b.Import(ctx, layout(t, t.TempDir(), img), images.ImportOptions{})
			require.ErrorIs(t, err, test.want)
			assert.NotContains(t, err.Error(), "\n")
			assert.LessOrEqual(t, len(b.driver.Keys()), 1, "at most the good layer: %v", b.driver.Keys())
			for _, name := range b.blobs(t) {
				assert.False(t, strings.HasPrefix(name, "."), name)
			}
			_, err = b.Lookup("example.com/bad:1")
			require.ErrorIs(t, err, images.ErrNotFound)
		})
	}
}

func TestBadImages(t *testing.T) {
	good := gz(t, Tar(t, File("good", "good")))
	web, lang := twoImages(t)
	arm := buildFor(t, "example.com/arm:1", ocispec.Platform{OS: "linux", Architecture: "riscv64"}, good)
	other := buildFor(t, "example.com/two:1", ocispec.Platform{OS: "linux", Architecture: "s390x"}, good)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("no image at all"), 0o600))
	both := layout(t, t.TempDir(), web, lang)
	lacking := layout(t, t.TempDir(), web)
	require.NoError(t, os.Remove(filepath.Join(lacking, "blobs/sha256", web.layers[1].desc.Digest.Encoded())))
	twoLayers := web
	twoLayers.config.data = build(t, "", good).config.data
	tests := map[string]struct {
		source   string
		platform string
		want     error
		says     string
	}{
		"nothing there":       {"oci:/no/such/dir", "", images.ErrNotFound, "/no/such/dir"},
		"no path there":       {"./nowhere", "", images.ErrNotFound, "./nowhere"},
		"a file of no kind":   {file, "", images.ErrMalformed, file},
		"a directory":         {dir, "", images.ErrMalformed, dir},
		"malformed reference": {"Not A Reference!", "", images.ErrInvalidReference, "Not A Reference!"},
		"empty":               {"", "", images.ErrInvalidReference, `""`},
		"scheme alone":        {"oci:", "", images.ErrInvalidReference, "oci:"},
		"several images":      {both, "", images.ErrAmbiguous, "example.com/web:1, example.com/lang:2"},
		"unknown name":        {both + ":example.com/third:3", "", images.ErrNotFound, "example.com/web:1, example.com/lang:2"},
		"blob is missing":     {lacking, "", images.ErrNotFound, web.layers[1].desc.Digest.String()},
		"wrong platform":      {layout(t, t.TempDir(), arm), "linux/mips", images.ErrNoPlatform, "linux/riscv64, not for linux/mips"},
		"no platform at all":  {web.name, "amd64", images.ErrInvalidReference, "amd64"},
		"index without ours":  {indexed(t, arm, other), "", images.ErrNoPlatform, "linux/riscv64, linux/s390x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			_, err := b.Import(ctx, test.source, images.ImportOptions{Platform: test.platform})
			require.ErrorIs(t, err, test.want)
			assert.ErrorContains(t, err, test.says)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

// indexed writes a layout with one image for several platforms.
func indexed(t *testing.T, list ...built) string {
	t.Helper()
	dir := layout(t, t.TempDir(), list...)
	var index ocispec.Index
	index.SchemaVersion = 2
	index.MediaType = ocispec.MediaTypeImageIndex
	for _, b := range list {
		d := b.manifest.desc
		d.Platform = &b.platform
		index.Manifests = append(index.Manifests, d)
	}
	attestation := list[0].manifest.desc
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	index.Manifests = append([]ocispec.Descriptor{attestation}, index.Manifests...)
	raw := marshal(t, index)
	d := describe(ocispec.MediaTypeImageIndex, raw)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "blobs/sha256", d.Digest.Encoded()), raw, 0o600))
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "example.com/multi:1"}
	var top ocispec.Index
	top.SchemaVersion = 2
	top.Manifests = []ocispec.Descriptor{d}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), marshal(t, top), 0o600))
	return dir
}

func TestImportChoosesThePlatform(t *testing.T) {
	web, _ := twoImages(t)
	other := buildFor(t, "", ocispec.Platform{OS: "linux", Architecture: "riscv64"}, web.layers[0])
	dir := indexed(t, other, web)
	b := newBench(t)
	r, err := b.Import(ctx, dir, images.ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, web.config.desc.Digest, r.ID())
	r, err = b.Import(ctx, dir, images.ImportOptions{Platform: "linux/riscv64", Name: "other"})
	require.NoError(t, err)
	assert.Equal(t, other.config.desc.Digest, r.ID())
	assert.Equal(t, "docker.io/library/other:latest", r.Name)
	assert.Equal(t, "linux/riscv64", r.Platform)
}

// A driver call that fails, whichever it is, fails the import, leaves no half
// layer, and the next import makes up for it.
func TestImportSurvivesEveryDriverFailure(t *testing.T) {
	web, _ := twoImages(t)
	dir := layout(t, t.TempDir(), web)
	broken := errors.New("device on fire")
	for _, verb := range []string{"stat", "prepare", "commit"} {
		for nth := range 3 {
			b := newBench(t)
			seen := 0
			var mu sync.Mutex
			b.driver.FailWith(func(v, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				if v != verb {
					return nil
				}
				if seen++; seen == nth+1 {
					return broken
				}
				return nil
			})
			_, err := b.Import(ctx, dir, images.ImportOptions{})
			require.ErrorIs(t, err, broken, "%s %d", verb, nth)
			for key, kind := range b.driver.Keys() {
				assert.Equal(t, snapshots.KindCommitted, kind, key)
			}
			_, err = b.Import(ctx, dir, images.ImportOptions{})
			require.NoError(t, err)
		}
	}
}

// A crash leaves the snapshot that a layer was being applied to.
func TestImportReplacesWhatACrashLeft(t *testing.T) {
	b := newBench(t)
	web, _ := twoImages(t)
	dir := layout(t, t.TempDir(), web)
	want, err := b.Import(ctx, dir, images.ImportOptions{})
	require.NoError(t, err)
	fresh := newBench(t)
	left, err := fresh.driver.Prepare(ctx, "import/"+want.Layers[0].ChainID.String(), "")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(left.Source, "half"), []byte("half"), 0o600))
	r, err := fresh.Import(ctx, dir, images.ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, tree(t, b.driver.Dir(want.Top())), tree(t, fresh.driver.Dir(r.Top())))
	assert.Len(t, fresh.driver.Keys(), 3)
}

func TestCancelledImportLeavesNoHalfLayer(t *testing.T) {
	web, _ := twoImages(t)
	dir := layout(t, t.TempDir(), web)
	for _, phase := range []images.Phase{images.PhaseDownloading, images.PhaseApplying, images.PhaseDone} {
		b := newBench(t)
		ctx, cancel := context.WithCancel(ctx)
		_, err := b.Import(ctx, dir, images.ImportOptions{Progress: func(e images.Event) {
			if e.Phase == phase {
				cancel()
			}
		}})
		require.ErrorIs(t, err, context.Canceled, phase)
		for key, kind := range b.driver.Keys() {
			assert.Equal(t, snapshots.KindCommitted, kind, key)
		}
	}
}

func TestConcurrentImportsDoTheWorkOnce(t *testing.T) {
	b := newBench(t)
	web, lang := twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)
	var wg sync.WaitGroup
	for i := range 12 {
		name := []string{web.name, lang.name}[i%2]
		wg.Go(func() {
			_, err := b.Import(ctx, "oci:"+dir+":"+name, images.ImportOptions{})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Equal(t, 4, b.driver.Calls("prepare"))
	assert.Len(t, b.driver.Keys(), 4)
	assert.Len(t, b.blobs(t), 4+2*2)
}

// A removal at any moment of an import takes nothing from it.
func TestImportAndRemoveDoNotDisturbEachOther(t *testing.T) {
	b := newBench(t)
	web, lang := twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)
	var wg sync.WaitGroup
	for _, name := range []string{web.name, lang.name} {
		wg.Go(func() {
			for range 15 {
				_, err := b.Import(ctx, "oci:"+dir+":"+name, images.ImportOptions{})
				assert.NoError(t, err)
				_, err = b.Remove(ctx, name, images.RemoveOptions{})
				assert.NoError(t, err)
				_, err = b.Collect(ctx)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	_, err := b.Collect(ctx)
	require.NoError(t, err)
	assert.Empty(t, b.driver.Keys())
	assert.Empty(t, b.blobs(t))
}

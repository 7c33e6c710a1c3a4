package images_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/snapshots"
)

// container makes a container of an image and edits it.
func container(t *testing.T, b *bench, key string, r images.Record, edit func(dir string)) {
	t.Helper()
	m, err := b.driver.Prepare(ctx, key, r.Top())
	require.NoError(t, err)
	if edit != nil {
		edit(m.Source)
	}
}

func imported(t *testing.T, b *bench) images.Record {
	t.Helper()
	web, _ := twoImages(t)
	r, err := b.Import(ctx, layout(t, t.TempDir(), web), images.ImportOptions{})
	require.NoError(t, err)
	return r
}

func write(t *testing.T, path, body string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(body), 0o644))
}

// A container's changes, committed, saved and imported elsewhere, give the tree of
// the container, byte for byte.
func TestCommitSaveImportElsewhere(t *testing.T) {
	b := newBench(t)
	r := imported(t, b)
	container(t, b, "work", r, func(dir string) {
		write(t, dir+"/new", "new")
		write(t, dir+"/bin/web", "overwritten")
		require.NoError(t, os.Remove(dir+"/lib/libc"))
		require.NoError(t, os.Link(dir+"/bin/sh", dir+"/bin/bash"))
		require.NoError(t, os.Rename(dir+"/etc", dir+"/etc.old"))
		require.NoError(t, os.Mkdir(dir+"/etc", 0o700))
		require.NoError(t, os.Symlink("../bin", dir+"/etc/bin"))
		require.NoError(t, syscall.Setxattr(dir+"/new", "user.note", []byte("x\x00"), 0))
	})
	committed, err := b.Commit(ctx, "work", "example.com/mine:1", images.CommitOptions{
		Author: "me", Comment: "why", Created: birthday.Add(time.Hour),
		Changes: []string{`CMD ["serve", "--all"]`, "ENV MODE=fast NAME='a b'", "LABEL who me", "EXPOSE 80", "WORKDIR /srv", "USER 1000"},
	})
	require.NoError(t, err)
	assert.Len(t, committed.Layers, 4)
	want := Describe(t, b.driver.Dir("work"))
	assert.Equal(t, want, Describe(t, b.driver.Dir(committed.Top())))
	assert.Len(t, b.driver.Keys(), 5, "no clone and no view is left")

	config, err := b.Config(committed)
	require.NoError(t, err)
	assert.Equal(t, []string{"serve", "--all"}, config.Config.Cmd)
	assert.Equal(t, []string{"PATH=/bin", "MODE=fast", "NAME=a b"}, config.Config.Env)
	assert.Equal(t, map[string]string{"who": "me"}, config.Config.Labels)
	assert.Contains(t, config.Config.ExposedPorts, "80/tcp")
	assert.Equal(t, "/srv", config.Config.WorkingDir)
	assert.Equal(t, "1000", config.Config.User)
	assert.Equal(t, "why", config.History[len(config.History)-1].Comment)
	assert.Contains(t, string(blobOf(t, b, committed.Config)), "Healthcheck", "what OCI does not know is kept")

	for format, save := range map[string]func(path string) error{
		images.FromLayout: func(path string) error { return b.SaveDir(ctx, path, committed.Name, r.Name) },
		images.FromLayoutArchive: func(path string) error {
			var buf bytes.Buffer
			return save(path, &buf, b.SaveArchive(ctx, &buf, images.FromLayoutArchive, committed.Name, r.Name))
		},
		images.FromDockerArchive: func(path string) error {
			var buf bytes.Buffer
			return save(path, &buf, b.SaveArchive(ctx, &buf, images.FromDockerArchive, committed.Name, r.Name))
		},
	} {
		t.Run(format, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "saved")
			require.NoError(t, save(path))
			elsewhere := newBench(t)
			got, err := elsewhere.Import(ctx, format+":"+path+":"+committed.Name, images.ImportOptions{})
			require.NoError(t, err)
			assert.Equal(t, committed.Name, got.Name)
			assert.Equal(t, committed.ID(), got.ID())
			assert.Equal(t, chains(committed), chains(got))
			assert.Equal(t, want, Describe(t, elsewhere.driver.Dir(got.Top())))
			if format != images.FromDockerArchive {
				assert.Equal(t, committed.Manifest.Digest, got.Manifest.Digest)
			}
			_, err = elsewhere.Import(ctx, format+":"+path+":"+r.Name, images.ImportOptions{})
			require.NoError(t, err)
		})
	}
}

func save(path string, buf *bytes.Buffer, err error) error {
	if err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o600)
}

func blobOf(t *testing.T, b *bench, d ocispec.Descriptor) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.root, "content/blobs/sha256", d.Digest.Encoded()))
	require.NoError(t, err)
	require.True(t, json.Valid(data))
	return data
}

func TestChanges(t *testing.T) {
	b := newBench(t)
	r := imported(t, b)
	container(t, b, "work", r, func(dir string) {
		write(t, dir+"/new", "12345")
		require.NoError(t, os.Remove(dir+"/lib/libc"))
	})
	changes, err := b.Changes(ctx, "work")
	require.NoError(t, err)
	var list []string
	for _, c := range changes {
		list = append(list, string(c.Kind)+" /"+c.Path)
	}
	assert.Equal(t, []string{"C /", "C /lib", "D /lib/libc", "A /new"}, list)
	assert.EqualValues(t, 5, changes[3].Size)
	assert.Len(t, b.driver.Keys(), 4)
	_, err = b.Changes(ctx, "nobody")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
}

func TestCommitRefusals(t *testing.T) {
	b := newBench(t)
	r := imported(t, b)
	container(t, b, "work", r, nil)
	container(t, b, "reserved", r, func(dir string) { write(t, dir+"/.wh.trap", "") })
	_, err := b.driver.Prepare(ctx, "scratch", "")
	require.NoError(t, err)
	tests := map[string]struct {
		key, name string
		opts      images.CommitOptions
		want      error
	}{
		"no container":       {"nobody", "x", images.CommitOptions{}, snapshots.ErrNotFound},
		"bad name":           {"work", "Not A Name", images.CommitOptions{}, images.ErrInvalidReference},
		"unknown change":     {"work", "x", images.CommitOptions{Changes: []string{"RUN make"}}, images.ErrInvalidChange},
		"change of nothing":  {"work", "x", images.CommitOptions{Changes: []string{"ENV"}}, images.ErrInvalidChange},
		"broken list":        {"work", "x", images.CommitOptions{Changes: []string{`CMD ["a`}}, images.ErrInvalidChange},
		"open quote":         {"work", "x", images.CommitOptions{Changes: []string{`ENV A="b`}}, images.ErrInvalidChange},
		"of no image":        {"scratch", "x", images.CommitOptions{}, images.ErrNotFound},
		"of another image":   {"scratch", "x", images.CommitOptions{Base: r.Name}, images.ErrInvalidReference},
		"reserved file name": {"reserved", "x", images.CommitOptions{}, layer.ErrReservedName},
	}
	before := b.blobs(t)
	keys := len(b.driver.Keys())
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := b.Commit(ctx, test.key, test.name, test.opts)
			require.ErrorIs(t, err, test.want)
			assert.Len(t, b.driver.Keys(), keys)
			assert.Equal(t, before, b.blobs(t))
		})
	}
}

// twoImported is a Store with two images of common layers, and a container "user" of
// the first, whose record comes last.
func twoImported(t *testing.T) (b *bench, web, lang built, r images.Record) {
	t.Helper()
	b = newBench(t)
	web, lang = twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)
	for _, img := range []built{web, lang} {
		_, err := b.Import(ctx, "oci:"+dir+":"+img.name, images.ImportOptions{})
		require.NoError(t, err)
	}
	r, err := b.Lookup(web.name)
	require.NoError(t, err)
	container(t, b, "user", r, nil)
	return b, web, lang, r
}

func TestRemove(t *testing.T) {
	b, web, lang, r := twoImported(t)
	_, err := b.Remove(ctx, web.name, images.RemoveOptions{})
	require.ErrorIs(t, err, images.ErrInUse)
	assert.ErrorContains(t, err, `"user"`)
	_, err = b.Lookup(web.name)
	require.NoError(t, err, "a refused removal changes nothing")

	require.NoError(t, b.driver.Remove(ctx, "user"))
	done, err := b.Remove(ctx, web.name, images.RemoveOptions{})
	require.NoError(t, err)
	assert.Equal(t, chains(r)[2:], []string{done.Layers[0].String()})
	assert.Len(t, done.Blobs, 3)
	assert.Len(t, b.driver.Keys(), 3)
	_, err = b.Remove(ctx, web.name, images.RemoveOptions{})
	require.ErrorIs(t, err, images.ErrNotFound)

	_, err = b.Remove(ctx, lang.config.desc.Digest.Encoded()[:12], images.RemoveOptions{})
	require.NoError(t, err)
	assert.Empty(t, b.driver.Keys())
	assert.Empty(t, b.blobs(t))
}

// A tag that moves leaves the old image only while a container needs it.
func TestMovedTag(t *testing.T) {
	b := newBench(t)
	web, lang := twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)
	name := images.ImportOptions{Name: "app"}
	old, err := b.Import(ctx, "oci:"+dir+":"+web.name, name)
	require.NoError(t, err)
	container(t, b, "user", old, nil)
	_, err = b.Import(ctx, "oci:"+dir+":"+lang.name, name)
	require.NoError(t, err)
	records, err := b.Images()
	require.NoError(t, err)
	require.Len(t, records, 2)
	assert.Equal(t, "docker.io/library/app@"+web.manifest.desc.Digest.String(), records[1].Name)
	_, err = b.Commit(ctx, "user", "still-possible", images.CommitOptions{})
	require.NoError(t, err)

	_, err = b.Import(ctx, "oci:"+dir+":"+web.name, name)
	require.NoError(t, err)
	records, err = b.Images()
	require.NoError(t, err)
	assert.Len(t, records, 3, "the image that nobody used is gone")
}

func TestCollectSparesWhatIsNeeded(t *testing.T) {
	b := newBench(t)
	r := imported(t, b)
	orphan := build(t, "example.com/orphan:1", gz(t, Tar(t, File("o", "o"))), gz(t, Tar(t, File("p", "p"))))
	o, err := b.Import(ctx, layout(t, t.TempDir(), orphan), images.ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, b.driver.DeleteRecord(o.Name), "as a removal that crashed")
	_, err = b.driver.Prepare(ctx, "user", o.Layers[0].ChainID.String())
	require.NoError(t, err)
	_, err = b.driver.Prepare(ctx, "import/sha256:"+strings.Repeat("ab", 32), "")
	require.NoError(t, err)
	write(t, filepath.Join(b.root, "content/blobs/sha256/.new-1"), "x")

	done, err := b.Collect(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{o.Top()}, []string{done.Layers[0].String()}, "the lower layer has a user")
	assert.Len(t, done.Blobs, 4)
	assert.Len(t, b.driver.Keys(), 3+2)
	for _, key := range chains(r) {
		assert.Contains(t, b.driver.Keys(), key)
	}
	assert.Len(t, b.blobs(t), 5)
}

func TestHistoryDiskUsageTree(t *testing.T) {
	b, web, lang, r := twoImported(t)

	steps, err := b.History(ctx, web.name)
	require.NoError(t, err)
	require.Len(t, steps, 4)
	assert.Equal(t, "CMD sh", steps[0].CreatedBy)
	assert.Nil(t, steps[0].Layer)
	assert.Equal(t, "ADD layer 1", steps[3].CreatedBy)
	assert.Equal(t, r.Layers[0], *steps[3].Layer)
	assert.EqualValues(t, len("shell")+len("linux"), steps[3].Size)

	sizes, total, err := b.DiskUsage(ctx)
	require.NoError(t, err)
	require.Len(t, sizes, 2)
	assert.EqualValues(t, len("web"), sizes[1].Unique)
	assert.EqualValues(t, 100_000+10, sizes[1].Shared)
	assert.EqualValues(t, 100_000+10+len("web")+len("lang"), total)

	nodes, err := b.Tree(ctx)
	require.NoError(t, err)
	require.Len(t, nodes, 1)
	require.Len(t, nodes[0].Children, 1)
	tops := nodes[0].Children[0].Children
	require.Len(t, tops, 2)
	for _, n := range tops {
		if n.Images[0] == web.name {
			assert.Equal(t, []string{"user"}, n.Containers)
		} else {
			assert.Equal(t, []string{lang.name}, n.Images)
		}
	}
}

func TestLookup(t *testing.T) {
	b := newBench(t)
	web, lang := twoImages(t)
	dir := layout(t, t.TempDir(), web, lang)
	for name, img := range map[string]built{"nginx:1.27": web, "team/app": lang, "quay.example/x/y": web} {
		_, err := b.Import(ctx, "oci:"+dir+":"+img.name, images.ImportOptions{Name: name})
		require.NoError(t, err)
	}
	for ref, want := range map[string]string{
		"nginx:1.27": "docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27": "docker.io/library/nginx:1.27",
		"team/app": "docker.io/team/app:latest", "quay.example/x/y:latest": "quay.example/x/y:latest",
		lang.config.desc.Digest.String():             "docker.io/team/app:latest",
		lang.manifest.desc.Digest.Encoded()[:8]:      "docker.io/team/app:latest",
		web.config.desc.Digest.Encoded()[:12]:        "docker.io/library/nginx:1.27",
		"sha256:" + web.config.desc.Digest.Encoded(): "docker.io/library/nginx:1.27",
	} {
		r, err := b.Lookup(ref)
		require.NoError(t, err, ref)
		assert.Equal(t, want, r.Name, ref)
	}
	for ref, want := range map[string]error{"nginx": images.ErrNotFound, "no/such": images.ErrNotFound, "Bad Name": images.ErrInvalidReference, "": images.ErrInvalidReference} {
		_, err := b.Lookup(ref)
		require.ErrorIs(t, err, want, ref)
	}
	assert.Equal(t, "nginx:1.27", images.ShortName("docker.io/library/nginx:1.27"))
	assert.Equal(t, "team/app:latest", images.ShortName("docker.io/team/app:latest"))
}

// Two commits of one container at once, and a container that is written to.
func TestConcurrentCommits(t *testing.T) {
	b := newBench(t)
	r := imported(t, b)
	container(t, b, "work", r, func(dir string) { write(t, dir+"/new", "new") })
	var wg sync.WaitGroup
	for _, name := range []string{"one", "two", "one"} {
		wg.Go(func() {
			_, err := b.Commit(ctx, "work", name, images.CommitOptions{Created: birthday})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Len(t, b.driver.Keys(), 5)
}

// A namespace of containerd's may be called as the keys of this package begin.
func TestCollectSparesContainerdsSnapshots(t *testing.T) {
	b := newBench(t)
	theirs := []string{
		"import/12/container", "import/x", "work/7/ABCDEFGHIJKLMNOPQRSTUVWXYZ", "work/12/sha256:" + strings.Repeat("ab", 32), "work/ABCDEFGHIJKLMNOPQRSTUVWXYZ",
	}
	for _, key := range append(theirs, "work/ABCDEFGHIJKLMNOPQRSTUVWXYZ/upper") {
		_, err := b.driver.Prepare(ctx, key, "")
		require.NoError(t, err)
	}
	_, err := b.Collect(ctx)
	require.NoError(t, err)
	assert.ElementsMatch(t, theirs, slices.Collect(maps.Keys(b.driver.Keys())))
}

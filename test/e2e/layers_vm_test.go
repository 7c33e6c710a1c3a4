package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forged is an OCI layout with one layer whose parts say what the forger wants.
type forged struct {
	blob   []byte        // of the layer, as the layout has it
	digest digest.Digest // that the manifest says; "" for the right one
	size   int64         // that the manifest says; 0 for the right one
	diffID digest.Digest // that the configuration says
}

// layout writes the layout and gives the source's name.
func (f forged) layout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put := func(data []byte, as digest.Digest) ocispec.Descriptor {
		t.Helper()
		if as == "" {
			as = digest.FromBytes(data)
		}
		path := filepath.Join(dir, "blobs", "sha256", as.Encoded())
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
		return ocispec.Descriptor{Digest: as, Size: int64(len(data))}
	}
	putJSON := func(v any, mediaType string) ocispec.Descriptor {
		t.Helper()
		data, err := json.Marshal(v)
		require.NoError(t, err)
		d := put(data, "")
		d.MediaType = mediaType
		return d
	}
	layer := put(f.blob, f.digest)
	layer.MediaType = ocispec.MediaTypeImageLayerGzip
	if f.size != 0 {
		layer.Size = f.size
	}
	config := putJSON(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{f.diffID}},
	}, ocispec.MediaTypeImageConfig)
	manifest := putJSON(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	}, ocispec.MediaTypeImageManifest)
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: "bad:1"}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return "oci:" + dir
}

func zipped(t *testing.T, raw io.Reader) []byte {
	t.Helper()
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	require.NoError(t, err)
	_, err = io.Copy(z, raw)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return buf.Bytes()
}

func rawTar(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, writeTar(&buf, entries))
	return buf.Bytes()
}

// honest is a layout whose every digest is right, whatever the layer holds.
func honest(t *testing.T, raw []byte) forged {
	t.Helper()
	return forged{blob: zipped(t, bytes.NewReader(raw)), diffID: digest.FromBytes(raw)}
}

// entries that try to leave the root, or to be more than they may.
func hostile(name string, kind byte, target string) entry {
	e := entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o644}}
	if kind == tar.TypeReg {
		e = file(name, "escaped\n")
	}
	return e
}

// A layer that is damaged or means harm is refused, and nothing of it stays: no
// image, no snapshot, no space in the pool, no blob, no file outside.
func TestBadLayersAreRefused(t *testing.T) {
	p := newProgramWithPool(t)
	p.do(t, "image", "import", "oci:"+layoutOf(t, "good:1", on(t, scratchImage(t), small(t, file("good", "good")))))
	raw := rawTar(t, folder("etc"), noise("etc/large", mib, 11), file("etc/last", "last"))
	whole := honest(t, raw)
	changed := func(change func(f *forged)) forged {
		f := whole
		f.blob = bytes.Clone(whole.blob)
		change(&f)
		return f
	}
	escape := filepath.Join(p.dir, "escaped")
	up := strings.Repeat("../", 20)
	for _, c := range []struct {
		name string
		bad  forged
		says []string
	}{
		{"blob that ends too early", changed(func(f *forged) {
			f.digest, f.size, f.blob = digest.FromBytes(f.blob), int64(len(f.blob)), f.blob[:len(f.blob)/2]
		}), []string{"layer 1", whole.sum()}},
		{"blob with one bit changed", changed(func(f *forged) { f.digest = digest.FromBytes(f.blob); f.blob[len(f.blob)/2] ^= 1 }), []string{"layer 1", "digest", whole.sum()}},
		{"blob that is longer than said", changed(func(f *forged) { f.digest = digest.FromBytes(f.blob); f.blob = append(f.blob, 'x') }), []string{"layer 1", whole.sum()}},
		{"gzip that ends too early", changed(func(f *forged) { f.blob = f.blob[:len(f.blob)/2] }), []string{"layer 1", "early"}},
		{"tar that ends too early", honest(t, raw[:len(raw)/2]), []string{"layer 1", "early"}},
		{"content that the configuration does not mean", changed(func(f *forged) { f.diffID = digest.FromString("other") }), []string{"layer 1", "digest", digest.FromString("other").String()}},
		{"no gzip at all", forged{blob: []byte(strings.Repeat("text", 1000)), diffID: digest.FromString("text")}, []string{"layer 1"}},
		{"zip bomb, which ends with its disk", bomb(t, 9*gib), []string{"layer 1", "bomb", "no space left", "--size"}},
		{"zip bomb that says so", bomb(t, 2<<40), []string{"layer 1", "bomb", "hostile"}},
		{"path that goes up", honest(t, rawTar(t, hostile(up[:60]+escape[1:], tar.TypeReg, ""))), []string{"layer 1", ".."}},
		{"path through a link that goes up", honest(t, rawTar(t, symlink("door", up), symlink("door/abs", "/"), hostile("../"+filepath.Base(escape), tar.TypeReg, ""))), []string{"layer 1", ".."}},
		{"hard link to a file outside", honest(t, rawTar(t, hostile("passwd", tar.TypeLink, up+"etc/passwd"))), []string{"layer 1", "passwd"}},
		{"hard link to nothing", honest(t, rawTar(t, hostile("link", tar.TypeLink, "nothing"))), []string{"layer 1", `"link"`}},
		{"whiteout of what is above", honest(t, rawTar(t, hostile("../.wh.etc", tar.TypeReg, ""))), []string{"layer 1", ".."}},
		{"whiteout of nothing", honest(t, rawTar(t, hostile("etc/.wh.", tar.TypeReg, ""))), []string{"layer 1", ".wh."}},
		{"endless depth", honest(t, rawTar(t, hostile(strings.Repeat("d/", 300)+"f", tar.TypeReg, ""))), []string{"layer 1", "deep"}},
		{"unknown type of entry", honest(t, rawTar(t, hostile("odd", 'Z', ""))), []string{"layer 1", `"odd"`}},
		{"layer larger than its disk", large(t, 200*mib), []string{"layer 1", "no space left", "--size"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.refuses(t, refusal{c.name, []string{"image", "import", c.bad.layout(t)}, exitFailure, c.says})
			assert.NoFileExists(t, escape)
		})
	}
	p.do(t, "doctor")
	p.do(t, "pool", "check")
	assert.Equal(t, "good:1", p.do(t, "image", "ls", "-q"))
	p.do(t, "image", "import", whole.layout(t))
	p.do(t, "image", "import", large(t, 200*mib).layout(t), "--size", "512M")
}

func (f forged) sum() string { return digest.FromBytes(f.blob).String() }

// large is an honest layer of one file of noise that compresses well.
func large(t *testing.T, size int64) forged {
	t.Helper()
	return honest(t, rawTar(t, echo("large", size)))
}

// bomb is a layer of a file of zeros. A gzip file may consist of several, so a few
// kilobytes are enough to make one of any size; nobody gets so far as to miss the
// right digest of its content.
func bomb(t *testing.T, size int64) forged {
	t.Helper()
	const part = 64 * mib
	var head bytes.Buffer
	h := tar.Header{Typeflag: tar.TypeReg, Name: "bomb", Mode: 0o644, Size: size}
	require.NoError(t, tar.NewWriter(&head).WriteHeader(&h))
	zeros := zipped(t, bytes.NewReader(make([]byte, part)))
	return forged{
		blob:   append(zipped(t, &head), bytes.Repeat(zeros, int(min(size, 9*gib)/part))...),
		diffID: digest.FromString("never seen"),
	}
}

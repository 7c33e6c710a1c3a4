package images_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	. "github.com/veneerdm/veneer/images/internal/treetest"
)

// serve runs a registry on the loopback device; wrap may stand before it.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) (host string) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// upload puts an image into a registry by plain requests.
func upload(t *testing.T, host, repo, tag string, img built) {
	t.Helper()
	send := func(method, url, mediaType string, data []byte) {
		req, err := http.NewRequest(method, url, strings.NewReader(string(data)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", mediaType)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusCreated, resp.StatusCode)
	}
	for _, b := range img.blobs()[1:] {
		send(http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?digest=%s", host, repo, b.desc.Digest), "application/octet-stream", b.data)
	}
	send(http.MethodPut, fmt.Sprintf("http://%s/v2/%s/manifests/%s", host, repo, tag), img.manifest.desc.MediaType, img.manifest.data)
}

func TestImportFromARegistry(t *testing.T) {
	host := serve(t, nil)
	web, _ := twoImages(t)
	upload(t, host, "team/web", "1", web)
	for _, ref := range []string{host + "/team/web:1", "docker://" + host + "/team/web:1", host + "/team/web@" + web.manifest.desc.Digest.String()} {
		b := newBench(t)
		r, err := b.Import(ctx, ref, images.ImportOptions{})
		require.NoError(t, err)
		assert.Equal(t, strings.TrimPrefix(ref, "docker://"), r.Name)
		assert.Equal(t, web.manifest.desc.Digest, r.Manifest.Digest)
		assert.Equal(t, []string{"bin", "bin/sh", "bin/web", "etc", "lib", "lib/libc"}, tree(t, b.driver.Dir(r.Top())))
	}
	b := newBench(t)
	_, err := b.Import(ctx, host+"/team/web:2", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrNotFound)
	assert.ErrorContains(t, err, "has no "+host+"/team/web:2")
}

// flaky cuts downloads of one blob and notes from where they start.
type flaky struct {
	next   http.Handler
	blob   digest.Digest
	after  int  // bytes of each answer before the connection is cut
	cuts   int  // how many answers to cut, -1 for all
	ranges bool // pass Range headers on

	mu     sync.Mutex
	starts []string
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/blobs/"+f.blob.String()) {
		f.next.ServeHTTP(w, r)
		return
	}
	f.mu.Lock()
	f.starts = append(f.starts, r.Header.Get("Range"))
	cut := f.cuts != 0
	if f.cuts > 0 {
		f.cuts--
	}
	f.mu.Unlock()
	if !f.ranges {
		r.Header.Del("Range")
	}
	if !cut {
		f.next.ServeHTTP(w, r)
		return
	}
	f.next.ServeHTTP(&cutter{ResponseWriter: w, left: f.after}, r)
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

func TestDownloadGoesOnWhereItWasCut(t *testing.T) {
	img := build(t, "", gz(t, Tar(t, File("big", string(noise(900_000))))))
	size := img.layers[0].desc.Size
	for _, ranges := range []bool{true, false} {
		f := &flaky{blob: img.layers[0].desc.Digest, after: 300_000, cuts: 2, ranges: ranges}
		host := serve(t, func(h http.Handler) http.Handler { f.next = h; return f })
		upload(t, host, "big", "1", img)
		b := newBench(t)
		r, err := b.Import(ctx, host+"/big:1", images.ImportOptions{})
		require.NoError(t, err, "ranges %v", ranges)
		assert.Equal(t, []string{"big"}, tree(t, b.driver.Dir(r.Top())))
		if ranges {
			assert.Equal(t, []string{"", fmt.Sprintf("bytes=300000-%d", size-1), fmt.Sprintf("bytes=600000-%d", size-1)}, f.starts)
		}
	}
}

func TestNextImportGoesOnWithTheDownload(t *testing.T) {
	img := build(t, "", gz(t, Tar(t, File("big", string(noise(900_000))))))
	f := &flaky{blob: img.layers[0].desc.Digest, after: 100_000, cuts: -1, ranges: true}
	host := serve(t, func(h http.Handler) http.Handler { f.next = h; return f })
	upload(t, host, "big", "1", img)
	b := newBench(t)
	// The process dies; that is to say, its context ends in the second download.
	ctx2, cancel := newCancel()
	_, err := b.Import(ctx2, host+"/big:1", images.ImportOptions{Progress: func(e images.Event) {
		if e.Phase == images.PhaseDownloading {
			cancel()
		}
	}})
	require.Error(t, err)
	require.Empty(t, b.driver.Keys())
	f.mu.Lock()
	f.cuts, f.starts = 0, nil
	f.mu.Unlock()
	b.reopen(t)
	_, err = b.Import(ctx, host+"/big:1", images.ImportOptions{})
	require.NoError(t, err)
	assert.Len(t, f.starts, 1)
	assert.Contains(t, f.starts[0], "bytes=")
}

func TestRegistryThatGivesUp(t *testing.T) {
	web, _ := twoImages(t)
	var status int
	var asked int
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status != 0 && strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
				asked++
				w.WriteHeader(status)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	upload(t, host, "web", "1", web)
	tests := map[int]error{
		http.StatusUnauthorized: images.ErrUnauthorized, http.StatusForbidden: images.ErrUnauthorized, http.StatusNotFound: images.ErrNotFound,
	}
	for code, want := range tests {
		status, asked = code, 0
		_, err := newBench(t).Import(ctx, host+"/web:1", images.ImportOptions{})
		require.ErrorIs(t, err, want)
		assert.Equal(t, 1, asked, "not tried again")
	}
}

func TestPlainHTTPIsForLoopback(t *testing.T) {
	b := newBench(t)
	_, err := b.Import(ctx, "10.255.255.1:1/web:1", images.ImportOptions{})
	require.Error(t, err)
	// A registry on this machine that sends its blobs elsewhere without encryption.
	web, _ := twoImages(t)
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/sha256") && r.Method == http.MethodGet {
				http.Redirect(w, r, "http://192.0.2.1/blob", http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	upload(t, host, "web", "1", web)
	_, err = b.Import(ctx, host+"/web:1", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrInsecure)
}

// keys gives one user's credentials to one registry.
type keys struct{ host string }

func (k keys) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() == k.host {
		return &authn.Basic{Username: "user", Password: "secret"}, nil
	}
	return authn.Anonymous, nil
}

func TestCredentials(t *testing.T) {
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); r.Method == http.MethodGet && (user != "user" || password != "secret") {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	web, _ := twoImages(t)
	upload(t, host, "web", "1", web)
	b := newBench(t)
	_, err := b.Import(ctx, host+"/web:1", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrUnauthorized)
	b.config.Keychain = keys{host}
	b.reopen(t)
	_, err = b.Import(ctx, host+"/web:1", images.ImportOptions{})
	require.NoError(t, err)
}

func TestPush(t *testing.T) {
	host := serve(t, nil)
	web, _ := twoImages(t)
	b := newBench(t)
	r, err := b.Import(ctx, layout(t, t.TempDir(), web), images.ImportOptions{})
	require.NoError(t, err)
	var done int
	require.NoError(t, b.Push(ctx, r.Name, host+"/copy:9", func(e images.Event) {
		if e.Phase == images.PhaseDone {
			done++
		}
	}))
	assert.Equal(t, 3, done)
	again, err := newBench(t).Import(ctx, host+"/copy:9", images.ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, r.Manifest.Digest, again.Manifest.Digest)
	assert.Equal(t, r.Layers, again.Layers)
}

package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/images/content"
)

const (
	// fetchTries is how often in a row a download may stop without one new byte.
	fetchTries = 5
	// stallTime is how long a connection may give nothing before it counts as lost.
	stallTime = time.Minute
)

// registry is an image in a registry.
type registry struct {
	ref    name.Reference
	client *http.Client
}

// openRegistry makes contact with the registry of ref, with the credentials that
// the docker configuration has for it or none.
func (s *Store) openRegistry(ctx context.Context, ref string) (provider, error) {
	parsed, err := parseReference(ref)
	if err != nil {
		return nil, err
	}
	rt, err := s.connect(ctx, parsed, transport.PullScope)
	if err != nil {
		return nil, err
	}
	return &registry{ref: parsed, client: &http.Client{Transport: rt}}, nil
}

// connect gives an authenticated transport for one repository.
func (s *Store) connect(ctx context.Context, ref name.Reference, scope string) (http.RoundTripper, error) {
	auth, err := authn.Resolve(ctx, s.keychain, ref.Context())
	if err != nil {
		return nil, fmt.Errorf("read the credentials for %s: %w", ref.Context().RegistryStr(), err)
	}
	rt, err := transport.NewWithContext(ctx, ref.Context().Registry, auth, secure{remote.DefaultTransport}, []string{ref.Scope(scope)})
	if err != nil {
		return nil, registryError(ref, err)
	}
	return rt, nil
}

func (r *registry) remote() bool { return true }

func (r *registry) close() error {
	r.client.CloseIdleConnections()
	return nil
}

func (r *registry) list(ctx context.Context) ([]candidate, error) {
	desc, err := remote.Get(r.ref, remote.WithContext(ctx), remote.WithTransport(r.client.Transport))
	if err != nil {
		return nil, registryError(r.ref, err)
	}
	return []candidate{{name: fullName(r.ref), desc: ocispec.Descriptor{
		MediaType: string(desc.MediaType), Digest: digest.Digest(desc.Digest.String()), Size: desc.Size,
	}}}, nil
}

// open asks for a blob from offset on. Manifests have an address of their own.
func (r *registry) open(ctx context.Context, d ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	kind := "blobs"
	switch d.MediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifestType, dockerListType:
		kind = "manifests"
	}
	repo := r.ref.Context()
	u := url.URL{
		Scheme: repo.Scheme(), Host: repo.RegistryStr(),
		Path: fmt.Sprintf("/v2/%s/%s/%s", repo.RepositoryStr(), kind, d.Digest),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	req.Header.Set("Accept", d.MediaType)
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, d.Size-1))
	}
	guard := newStallGuard(cancel)
	resp, err := r.client.Do(req) //nolint:bodyclose // the stallGuard closes it
	if err != nil {
		guard.stop()
		return nil, registryError(r.ref, err)
	}
	guard.body = resp.Body
	if err := checkAnswer(resp, offset); err != nil {
		return nil, errors.Join(registryError(r.ref, err), guard.Close())
	}
	return guard, nil
}

// checkAnswer looks whether the answer begins where it was asked to.
func checkAnswer(resp *http.Response, offset int64) error {
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		return err
	}
	if offset == 0 {
		return nil
	}
	var start int64
	if resp.StatusCode != http.StatusPartialContent {
		return content.ErrNoRange
	}
	if n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &start); n != 1 || start != offset {
		return content.ErrNoRange
	}
	return nil
}

// stallGuard is a response body that gives up when nothing comes.
type stallGuard struct {
	body   io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

var errStalled = errors.New("the registry sent nothing for " + stallTime.String())

func newStallGuard(cancel context.CancelCauseFunc) *stallGuard {
	return &stallGuard{cancel: cancel, timer: time.AfterFunc(stallTime, func() { cancel(errStalled) })}
}

func (g *stallGuard) Read(p []byte) (int, error) {
	n, err := g.body.Read(p)
	if n > 0 {
		g.timer.Reset(stallTime)
	}
	return n, err
}

func (g *stallGuard) stop() {
	g.timer.Stop()
	g.cancel(nil)
}

func (g *stallGuard) Close() error {
	g.stop()
	return g.body.Close()
}

// secure refuses plain http to other machines, whoever asks for it: the
// reference, a redirect or the address of a token service.
type secure struct{ base http.RoundTripper }

func (s secure) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !loopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%s does not answer over https: %w", req.URL.Host, ErrInsecure)
	}
	return s.base.RoundTrip(req)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// registryError puts a registry's answer into a class and one sentence.
func registryError(ref name.Reference, err error) error {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("registry %s: %w", ref.Context().RegistryStr(), err)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("registry %s does not give %s to us (status %d), check the name or log in: %w",
			ref.Context().RegistryStr(), fullName(ref), answer.StatusCode, ErrUnauthorized)
	case http.StatusNotFound:
		return fmt.Errorf("registry %s has no %s: %w", ref.Context().RegistryStr(), fullName(ref), ErrNotFound)
	}
	return &statusError{registry: ref.Context().RegistryStr(), answer: answer}
}

// statusError is any other refusal of a registry.
type statusError struct {
	registry string
	answer   *transport.Error
}

func (e *statusError) Error() string {
	return "registry " + e.registry + " answered with status " + strconv.Itoa(e.answer.StatusCode)
}

func (e *statusError) Unwrap() error { return e.answer }

// worthRetrying says whether the same request may well succeed a moment later.
func worthRetrying(err error) bool {
	var status *statusError
	var netErr net.Error
	var sourceErr *content.SourceError
	switch {
	case errors.As(err, &status):
		code := status.answer.StatusCode
		return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
	case errors.Is(err, ErrInsecure):
		return false
	}
	return errors.Is(err, ErrTruncated) || errors.As(err, &sourceErr) || errors.As(err, &netErr)
}

// pause waits longer after each failure.
func pause(ctx context.Context, failures int) error {
	const first = 100 * time.Millisecond
	timer := time.NewTimer(first << (2 * (failures - 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

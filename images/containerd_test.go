package images_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/veneerdm/veneer/images"
)

// peer answers as containerd does, for the images it is given.
type peer struct {
	namespace string
	images    map[string]built
	missing   string // digest of a blob that was collected
	damaged   string // digest of a blob with a wrong byte
}

type (
	peerImages struct {
		imagesapi.UnimplementedImagesServer
		*peer
	}
	peerContent struct {
		contentapi.UnimplementedContentServer
		*peer
	}
)

// startPeer serves p where $CONTAINERD_ADDRESS says.
func startPeer(t *testing.T, p *peer) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	s := grpc.NewServer()
	imagesapi.RegisterImagesServer(s, peerImages{peer: p})
	contentapi.RegisterContentServer(s, peerContent{peer: p})
	go func() { _ = s.Serve(l) }() // until Stop
	t.Cleanup(s.Stop)
	t.Setenv("CONTAINERD_ADDRESS", socket)
	t.Setenv("CONTAINERD_NAMESPACE", p.namespace)
}

func (p *peer) visible(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	ns := md.Get("containerd-namespace")
	return len(ns) == 1 && ns[0] == p.namespace
}

func (p peerImages) Get(ctx context.Context, req *imagesapi.GetImageRequest) (*imagesapi.GetImageResponse, error) {
	img, ok := p.images[req.Name]
	if !ok || !p.visible(ctx) {
		return nil, status.Errorf(codes.NotFound, "image %q: not found", req.Name)
	}
	d := img.manifest.desc
	return &imagesapi.GetImageResponse{Image: &imagesapi.Image{Name: req.Name, Target: &types.Descriptor{
		MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size,
	}}}, nil
}

func (p peerContent) Read(req *contentapi.ReadContentRequest, stream contentapi.Content_ReadServer) error {
	for _, img := range p.images {
		for _, b := range img.blobs() {
			if b.desc.Digest.String() != req.Digest || req.Digest == p.missing {
				continue
			}
			data := append([]byte(nil), b.data...)
			if req.Digest == p.damaged {
				data[len(data)/2] ^= 1
			}
			for at := req.Offset; at < int64(len(data)); {
				n := min(at+1000, int64(len(data)))
				if err := stream.Send(&contentapi.ReadContentResponse{Offset: at, Data: data[at:n]}); err != nil {
					return err
				}
				at = n
			}
			return nil
		}
	}
	return status.Errorf(codes.NotFound, "content %s: not found", req.Digest)
}

func TestImportFromContainerd(t *testing.T) {
	web, lang := twoImages(t)
	startPeer(t, &peer{namespace: "k8s.io", images: map[string]built{"docker.io/library/web:1": web, "odd/lang:2": lang}})
	b := newBench(t)
	r, err := b.Import(ctx, "containerd:web:1", images.ImportOptions{})
	require.NoError(t, err)
	assert.Equal(t, "docker.io/library/web:1", r.Name)
	assert.Equal(t, web.manifest.desc.Digest, r.Manifest.Digest)
	r, err = b.Import(ctx, "containerd:odd/lang:2", images.ImportOptions{Name: "lang"})
	require.NoError(t, err)
	assert.Equal(t, "docker.io/library/lang:latest", r.Name)
	assert.Len(t, b.driver.Keys(), 4, "layers that both have are stored once")
}

func TestImportFromContainerdSaysWhatIsWrong(t *testing.T) {
	web, _ := twoImages(t)
	p := &peer{namespace: "default", images: map[string]built{"docker.io/library/web:1": web}}
	startPeer(t, p)
	b := newBench(t)

	_, err := b.Import(ctx, "containerd:gone:1", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrNotFound)
	assert.ErrorContains(t, err, `has no image gone:1 in its namespace "default"`)

	_, err = b.Import(ctx, "containerd:", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrInvalidReference)

	p.missing = web.layers[1].desc.Digest.String()
	_, err = b.Import(ctx, "containerd:web:1", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrNotFound)
	assert.ErrorContains(t, err, "has no blob "+p.missing)

	p.missing, p.damaged = "", p.missing
	_, err = b.Import(ctx, "containerd:web:1", images.ImportOptions{})
	require.ErrorIs(t, err, images.ErrDigestMismatch)

	t.Setenv("CONTAINERD_ADDRESS", filepath.Join(t.TempDir(), "nobody.sock"))
	_, err = b.Import(ctx, "containerd:web:1", images.ImportOptions{})
	assert.ErrorContains(t, err, "no containerd answers at")

	assert.Empty(t, b.driver.Keys(), "nothing half made")
}

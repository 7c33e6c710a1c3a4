package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/veneerdm/veneer/class"
)

// Where containerd is asked and in which of its namespaces, with the variables of
// its own clients.
const (
	containerdAddress   = "/run/containerd/containerd.sock"
	containerdNamespace = "default"

	envContainerdAddress   = "CONTAINERD_ADDRESS"
	envContainerdNamespace = "CONTAINERD_NAMESPACE"

	// namespaceHeader carries the namespace of a call (containerd's pkg/namespaces).
	namespaceHeader = "containerd-namespace"
)

// daemon is an image in the content store of a containerd on this machine. What
// was pulled for another snapshotter needs no download.
type daemon struct {
	conn      *grpc.ClientConn
	address   string
	namespace string
	ref       string
}

func openContainerd(ref string) (provider, error) {
	d := &daemon{
		address:   cmp.Or(os.Getenv(envContainerdAddress), containerdAddress),
		namespace: cmp.Or(os.Getenv(envContainerdNamespace), containerdNamespace),
		ref:       ref,
	}
	conn, err := grpc.NewClient("unix:"+d.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", d.address, err)
	}
	d.conn = conn
	return d, nil
}

func (d *daemon) remote() bool { return false }
func (d *daemon) close() error { return d.conn.Close() }

// list asks for the image as the user wrote it, and then for its full name.
func (d *daemon) list(ctx context.Context) ([]candidate, error) {
	full, err := ParseName(d.ref)
	if err != nil {
		return nil, err
	}
	client := imagesapi.NewImagesClient(d.conn)
	var reply *imagesapi.GetImageResponse
	for _, name := range []string{d.ref, full} {
		reply, err = client.Get(d.in(ctx), &imagesapi.GetImageRequest{Name: name})
		if status.Code(err) != codes.NotFound {
			break
		}
	}
	if err != nil {
		return nil, d.error(fmt.Sprintf("image %s", d.ref), err)
	}
	target := reply.GetImage().GetTarget()
	return []candidate{{name: reply.GetImage().GetName(), desc: ocispec.Descriptor{
		MediaType: target.GetMediaType(), Digest: digest.Digest(target.GetDigest()), Size: target.GetSize(),
	}}}, nil
}

func (d *daemon) open(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := contentapi.NewContentClient(d.conn).Read(d.in(ctx), &contentapi.ReadContentRequest{
		Digest: desc.Digest.String(), Offset: offset,
	})
	if err != nil {
		cancel()
		return nil, d.error("blob "+desc.Digest.String(), err)
	}
	return &daemonBlob{daemon: d, stream: stream, cancel: cancel, digest: desc.Digest}, nil
}

// in puts the namespace into a call.
func (d *daemon) in(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, namespaceHeader, d.namespace)
}

// error says which daemon lacks what.
func (d *daemon) error(what string, err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return class.Wrap(fmt.Errorf("containerd at %s has no %s in its namespace %q; see \"ctr -n %s images ls\" and \"content ls\"",
			d.address, what, d.namespace, d.namespace), ErrNotFound)
	case codes.Unavailable:
		return fmt.Errorf("no containerd answers at %s (set %s if it is elsewhere): %w", d.address, envContainerdAddress, syscall.ECONNREFUSED)
	case codes.Canceled, codes.DeadlineExceeded:
		return context.Canceled
	}
	return fmt.Errorf("containerd at %s, %s: %w", d.address, what, err)
}

// daemonBlob reads a blob from the pieces that containerd sends.
type daemonBlob struct {
	daemon *daemon
	stream contentapi.Content_ReadClient
	cancel context.CancelFunc
	digest digest.Digest
	piece  []byte
}

func (b *daemonBlob) Read(p []byte) (int, error) {
	for len(b.piece) == 0 {
		reply, err := b.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, b.daemon.error("blob "+b.digest.String(), err)
		}
		b.piece = reply.GetData()
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	return n, nil
}

func (b *daemonBlob) Close() error {
	b.cancel()
	return nil
}

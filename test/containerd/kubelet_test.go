package containerd_test

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/veneerdm/veneer/test/waittest"
)

// kubelet asks a host's containerd what a node's kubelet asks it, over CRI.
type kubelet struct {
	*host
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

// pod is a pod sandbox with one container in it.
type pod struct {
	id, container string
	config        *cri.PodSandboxConfig
}

func (h *host) startKubelet() *kubelet {
	h.t.Helper()
	c, err := grpc.NewClient("unix://"+h.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(h.t, err)
	k := &kubelet{host: h, runtime: cri.NewRuntimeServiceClient(c), images: cri.NewImageServiceClient(c)}
	h.t.Cleanup(func() {
		if h.t.Failed() {
			k.giveUp()
		}
		assert.NoError(h.t, c.Close())
	})
	h.await("the CRI plugin", func(ctx context.Context) error {
		_, err := k.runtime.Version(ctx, &cri.VersionRequest{})
		return err
	})
	return k
}

// pull pulls an image for the pods of a runtime class, "" for all.
func (k *kubelet) pull(image, handler string) {
	k.t.Helper()
	_, err := k.images.PullImage(k.t.Context(), &cri.PullImageRequest{
		Image: &cri.ImageSpec{Image: image, RuntimeHandler: handler}, SandboxConfig: &cri.PodSandboxConfig{},
	})
	require.NoError(k.t, err)
}

// run starts a pod of a runtime class with one container in it. The pod has the
// network of the host, so that it needs no network plugin.
func (k *kubelet) run(name, handler, image string, command ...string) pod {
	k.t.Helper()
	ctx := k.t.Context()
	p := pod{config: &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name},
		LogDirectory: filepath.Join(k.dir, "logs", name),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
		}},
	}}
	sandbox, err := k.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config, RuntimeHandler: handler})
	require.NoError(k.t, err)
	p.id = sandbox.PodSandboxId
	made, err := k.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.id, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name},
			Image:    &cri.ImageSpec{Image: image, RuntimeHandler: handler},
			Command:  command, LogPath: "log",
			Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
			}},
		},
	})
	require.NoError(k.t, err)
	p.container = made.ContainerId
	_, err = k.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: p.container})
	require.NoError(k.t, err)
	return p
}

func (k *kubelet) exec(p pod, command ...string) string {
	k.t.Helper()
	res, err := k.runtime.ExecSync(k.t.Context(), &cri.ExecSyncRequest{ContainerId: p.container, Cmd: command, Timeout: int64(waittest.Hang.Seconds())})
	require.NoError(k.t, err)
	require.Zero(k.t, res.ExitCode, "%v: %s", command, res.Stderr)
	return string(res.Stdout)
}

// remove ends a pod and takes it away with its container.
func (k *kubelet) remove(p pod) {
	k.t.Helper()
	ctx := waittest.Context(k.t)
	_, err := k.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
	require.NoError(k.t, err)
	_, err = k.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	require.NoError(k.t, err)
}

func (k *kubelet) removeImage(image string) {
	k.t.Helper()
	_, err := k.images.RemoveImage(k.t.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: image}})
	require.NoError(k.t, err)
}

// writableLayer is what a container's own disk holds, by CRI's statistics.
func (k *kubelet) writableLayer(ctx context.Context, p pod) (*cri.FilesystemUsage, error) {
	res, err := k.runtime.ListContainerStats(ctx, &cri.ListContainerStatsRequest{Filter: &cri.ContainerStatsFilter{Id: p.container}})
	if err != nil {
		return nil, err
	}
	if len(res.Stats) != 1 {
		return nil, fmt.Errorf("statistics of %d containers", len(res.Stats))
	}
	return res.Stats[0].GetWritableLayer(), nil
}

// giveUp ends the pods of a test that failed: what still runs keeps its root mounted.
func (k *kubelet) giveUp() {
	ctx := context.Background()
	pods, err := k.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return
	}
	for _, p := range pods.Items {
		_, _ = k.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.Id})
		_, _ = k.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.Id})
	}
}

package containerd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	onVeneer  = " / ext4 "
	onOverlay = " / overlay "
	written   = 8 << 20
	writing   = "dd if=/dev/urandom of=/data bs=1M count=8 2>/dev/null && sync"
)

// Every pod on Veneer: the life of a pod on containerd 2, as Kubernetes asks for it.
func TestKubernetesRunsOnVeneer(t *testing.T) {
	h := emptyHost(t)
	registry := h.startRegistry()
	h.configure2(forPods2(registry), sample(t, "containerd-2.toml"), sample(t, "kubernetes-2.toml"))
	h.startDaemon()
	h.startContainerd()
	k := h.startKubelet()

	python := registry.push("python", h.demoImage("python:demo"))
	k.pull(registry.pause, "")
	k.pull(python, "")
	assert.Len(t, k.snapshots("veneer"), 1+3, "pulling unpacks")
	p := k.run("calc", "", python, "sleep", "infinity")
	assert.Equal(t, "42\n", k.exec(p, "python3", "-c", "print(6*7)"))
	k.standsOn(p, "veneer", onVeneer)
	assert.Len(t, k.snapshots("veneer"), 1+3+2)
	assert.Equal(t, 1+3+2, k.info().Snapshots)
	assert.Empty(t, k.snapshots("overlayfs"))

	k.exec(p, "sh", "-c", writing)
	k.accounts(p)
	images := k.imageFilesystems()
	require.Len(t, images, 1)
	assert.Equal(t, "/var/lib/veneer", images[0].FsId.Mountpoint, "what the sample exports")
	used, inPool := images[0].UsedBytes.Value, k.info().Pool.DataUsed
	assert.LessOrEqual(t, used, inPool, "nothing is counted twice")
	assert.Greater(t, used, inPool*9/10, "and hardly anything is left out: only the empty filesystem that all are copies of")

	// Both sides restart under the pod.
	h.stop(&h.containerd, syscall.SIGTERM)
	h.stop(&h.daemon, syscall.SIGKILL)
	h.startDaemon()
	h.startContainerd()
	k = h.startKubelet()
	assert.Equal(t, "8388608\n", k.exec(p, "stat", "-c", "%s", "/data"))

	k.remove(p)
	assert.Len(t, k.snapshots("veneer"), 1+3, "the images remain")
	k.removeImage(python)
	k.left(1)
	assert.Contains(t, h.run("doctor"), "all is well")
}

// One runtime class on Veneer, all other pods on overlayfs. Kata needs KVM, so its
// name in the sample gets runc's program here.
func TestRuntimeClassRunsOnVeneer(t *testing.T) {
	h := emptyHost(t)
	registry := h.startRegistry()
	runc := filepath.Join(state, "runc.toml")
	require.NoError(t, os.WriteFile(runc, []byte(`version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]
  runtime_type = "io.containerd.runc.v2"
`), 0o600))
	h.configure2(forPods2(registry), sample(t, "containerd-2.toml"), sample(t, "kata-2.toml"), runc)
	h.startDaemon()
	h.startContainerd()
	k := h.startKubelet()

	// As kubelets pull: they do not say for which class.
	k.pull(registry.pause, "")
	assert.Len(t, k.snapshots("overlayfs"), 1)
	assert.Empty(t, k.snapshots("veneer"))
	plain := k.run("plain", "", registry.pause, "sleep", "infinity")
	kata := k.run("kata", "kata", registry.pause, "sleep", "infinity")
	k.standsOn(plain, "overlayfs", onOverlay)
	k.standsOn(kata, "veneer", onVeneer)
	assert.Len(t, k.snapshots("overlayfs"), 1+2)
	assert.Len(t, k.snapshots("veneer"), 1+2, "unpacked when it was needed")
	k.exec(kata, "sh", "-c", writing)
	assert.Regexp(t, kata.container+` +[89]\.\d+ MiB`, h.ctr("--namespace", "k8s.io", "snapshots", "usage"))
	// containerd 2.4 counts for CRI what the default snapshotter holds, and nothing else.
	layer, err := k.writableLayer(t.Context(), kata)
	require.NoError(t, err)
	assert.Equal(t, "/var/lib/veneer", layer.GetFsId().GetMountpoint(), "a kubelet needs one that is there")

	// As kubelets with the feature gate RuntimeClassInImageCriApi pull.
	other := registry.push("other", twoLayers(t, h.pause()))
	k.pull(other, "kata")
	assert.Len(t, k.snapshots("overlayfs"), 1+2)
	assert.Len(t, k.snapshots("veneer"), 1+1+2, "one of its two layers is new")

	k.remove(plain)
	k.remove(kata)
	assert.Len(t, k.snapshots("overlayfs"), 1)
	assert.Len(t, k.snapshots("veneer"), 1+1)
	k.removeImage(other)
	k.left(1)
	assert.Contains(t, h.run("doctor"), "all is well")
}

// A node moves from overlayfs to Veneer under a running pod, and downloads nothing.
func TestKubernetesMovesToVeneer(t *testing.T) {
	h := emptyHost(t)
	registry := h.startRegistry()
	h.configure2(forPods2(registry), sample(t, "containerd-2.toml"))
	h.startDaemon()
	h.startContainerd()
	k := h.startKubelet()
	k.pull(registry.pause, "")
	before := k.run("before", "", registry.pause, "sleep", "infinity")
	k.standsOn(before, "overlayfs", onOverlay)
	k.exec(before, "sh", "-c", "echo kept >/kept")

	registry.close()
	h.stop(&h.containerd, syscall.SIGTERM)
	h.configure2(forPods2(registry), sample(t, "containerd-2.toml"), sample(t, "kubernetes-2.toml"))
	h.startContainerd()
	k = h.startKubelet()
	assert.Equal(t, "kept\n", k.exec(before, "cat", "/kept"))
	after := k.run("after", "", registry.pause, "sleep", "infinity")
	k.standsOn(after, "veneer", onVeneer)
	k.remove(before)
	k.remove(after)
	k.left(1)
	assert.Len(t, k.snapshots("overlayfs"), 1)
}

// Every pod on Veneer with the distribution's containerd 1.
func TestKubernetesOnContainerd1RunsOnVeneer(t *testing.T) {
	h := emptyHost(t)
	registry := h.startRegistry()
	var config strings.Builder
	for _, name := range []string{"containerd-1.toml", "kubernetes-1.toml"} {
		text, err := os.ReadFile(sample(t, name))
		require.NoError(t, err)
		config.Write(text)
	}
	fmt.Fprintf(&config, "[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = %q\n  stats_collect_period = 1\n", registry.pause)
	h.configure(config.String())
	h.startDaemon()
	h.startContainerd()
	k := h.startKubelet()

	k.pull(registry.pause, "")
	p := k.run("pod", "", registry.pause, "sleep", "infinity")
	k.standsOn(p, "veneer", onVeneer)
	assert.Equal(t, 1+2, k.info().Snapshots)
	k.exec(p, "sh", "-c", writing)
	k.accounts(p)
	images := k.imageFilesystems()
	require.Len(t, images, 1)
	assert.Equal(t, filepath.Join(h.dir, "containerd/io.containerd.snapshotter.v1.veneer"), images[0].FsId.Mountpoint,
		"1.6 makes the name up: the guide has that folder made")
	k.remove(p)
	k.removeImage(registry.pause)
	k.left(0)
}

// twoLayers is an image with a layer more.
func twoLayers(t *testing.T, image v1.Image) v1.Image {
	t.Helper()
	layer, err := crane.Layer(map[string][]byte{"more": []byte("more")})
	require.NoError(t, err)
	image, err = mutate.AppendLayers(image, layer)
	require.NoError(t, err)
	return image
}

// forPods2 is what a test of pods needs beside the samples: an image of its own for
// pause, and statistics without waiting.
func forPods2(r registryServer) string {
	return fmt.Sprintf(`disabled_plugins = ["io.containerd.snapshotter.v1.devmapper"]
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images']
  stats_collect_period = 1
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = %q
`, r.pause)
}

// snapshots are the keys of a snapshotter's snapshots in Kubernetes' namespace.
func (k *kubelet) snapshots(snapshotter string) []string {
	k.t.Helper()
	lines := strings.Split(strings.TrimSpace(k.ctr("--namespace", "k8s.io", "snapshots", "--snapshotter", snapshotter, "ls")), "\n")
	var keys []string
	for _, line := range lines[1:] {
		keys = append(keys, strings.Fields(line)[0])
	}
	return keys
}

// standsOn proves that both containers of a pod have their roots on a snapshotter.
func (k *kubelet) standsOn(p pod, snapshotter, root string) {
	k.t.Helper()
	assert.Subset(k.t, k.snapshots(snapshotter), []string{p.id, p.container})
	assert.Contains(k.t, k.exec(p, "cat", "/proc/mounts"), root)
}

// accounts waits until CRI's statistics have what was written in a container.
func (k *kubelet) accounts(p pod) {
	k.t.Helper()
	var last uint64
	k.await("the usage of a container", func(ctx context.Context) error {
		layer, err := k.writableLayer(ctx, p)
		if last = layer.GetUsedBytes().GetValue(); err == nil && last < written {
			err = fmt.Errorf("%d bytes of %d are accounted for", last, written)
		}
		return err
	})
	assert.Less(k.t, last, uint64(2*written))
}

func (k *kubelet) imageFilesystems() []*cri.FilesystemUsage {
	k.t.Helper()
	res, err := k.images.ImageFsInfo(k.t.Context(), &cri.ImageFsInfoRequest{})
	require.NoError(k.t, err)
	return res.ImageFilesystems
}

// left waits until garbage collection has left n snapshots on Veneer. containerd
// forgets a snapshot at once and removes it later, so both are asked.
func (k *kubelet) left(n int) {
	k.t.Helper()
	k.await("garbage collection", func(context.Context) error {
		if keys, has := k.snapshots("veneer"), k.info().Snapshots; len(keys) != n || has != n {
			return fmt.Errorf("containerd has %v, Veneer %d snapshots", keys, has)
		}
		return nil
	})
}

// information is what veneer info says.
type information struct {
	Snapshots int
	Pool      struct{ DataUsed uint64 }
}

func (h *host) info() (i information) {
	h.t.Helper()
	require.NoError(h.t, json.Unmarshal([]byte(h.run("--format", "json", "info")), &i))
	return i
}

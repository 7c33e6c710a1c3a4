package containerd_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nerdctlKeys are the keys of nerdctl.toml, as nerdctl's docs/config.md lists them.
var nerdctlKeys = []string{
	"debug", "debug_full", "address", "namespace", "snapshotter", "cni_path", "cni_netconfpath", "data_root", "cgroup_manager",
	"insecure_registry", "hosts_dir", "experimental", "host_gateway_ip", "bridge_ip", "kube_hide_dupe",
}

// nerdctl cannot be had here: its sample says at least what its documentation knows.
func TestNerdctlIsDocumentedSo(t *testing.T) {
	text, err := os.ReadFile(sample(t, "../nerdctl/nerdctl.toml"))
	require.NoError(t, err)
	settings := decode(t, string(text))
	assert.Equal(t, "veneer", settings["snapshotter"])
	for key := range settings {
		assert.Contains(t, nerdctlKeys, key)
	}
}

// Docker itself takes the sample in make test-docker.
func TestDockerSampleIsJSON(t *testing.T) {
	text, err := os.ReadFile(sample(t, "../docker/daemon.json"))
	require.NoError(t, err)
	var settings map[string]any
	require.NoError(t, json.Unmarshal(text, &settings))
	assert.Equal(t, map[string]any{"features": map[string]any{"containerd-snapshotter": true}, "storage-driver": "veneer"}, settings)
}

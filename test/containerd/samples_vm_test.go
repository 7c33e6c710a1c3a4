package containerd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// k3sBase is what of k3s' own template is in the way of what is added to it: it has
// the table of CRI's images, with the snapshotter that k3s was told.
const k3sBase = `version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "{{ .NodeConfig.AgentConfig.Snapshotter }}"
  disable_snapshot_annotations = true
`

// later are the settings that containerd 1.6 does not know: 1.7 does.
var later = []string{"/proxy_plugins/veneer/exports/root"}

// Whatever a sample sets is there when containerd prints the configuration that it
// goes by: it drops what it does not know.
func TestContainerdKnowsWhatSamplesSet(t *testing.T) {
	h := emptyHost(t)
	for _, c := range []struct {
		name, programs string
		files, later   []string
	}{
		{"containerd 1", "", []string{"containerd-1.toml", "kubernetes-1.toml"}, later},
		{"containerd 2", "../../bin/containerd", []string{"containerd-2.toml"}, nil},
		{"Kubernetes on containerd 2", "../../bin/containerd", []string{"containerd-2.toml", "kubernetes-2.toml"}, nil},
		{"Kata on containerd 2", "../../bin/containerd", []string{"containerd-2.toml", "kata-2.toml"}, nil},
		{"firecracker-containerd", "", []string{"../firecracker/containerd.toml"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var texts []string
			for _, name := range c.files {
				text, err := os.ReadFile(sample(t, name))
				require.NoError(t, err)
				texts = append(texts, string(text))
			}
			h.programs = absolute(t, c.programs)
			assertSubset(t, decode(t, concatenated(texts)), h.goesBy(t, concatenated(texts)), c.later)
		})
	}
	t.Run("k3s", func(t *testing.T) {
		h.programs = absolute(t, "../../bin/containerd")
		rendered := renderK3s(t)
		goesBy := h.goesBy(t, rendered)
		assertSubset(t, decode(t, rendered), goesBy, nil)
		for _, name := range []string{"containerd-2.toml", "kubernetes-2.toml"} {
			text, err := os.ReadFile(sample(t, name))
			require.NoError(t, err)
			assertSubset(t, decode(t, string(text)), goesBy, nil)
		}
	})
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	if path == "" {
		return ""
	}
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

// renderK3s is what k3s makes of its sample.
func renderK3s(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(sample(t, "../k3s/config-v3.toml.tmpl"))
	require.NoError(t, err)
	tmpl, err := template.New("k3s").Parse(string(text))
	require.NoError(t, err)
	_, err = tmpl.New("base").Parse(k3sBase)
	require.NoError(t, err)
	var node struct {
		NodeConfig struct {
			AgentConfig struct{ Snapshotter string }
		}
	}
	node.NodeConfig.AgentConfig.Snapshotter = "veneer"
	var rendered strings.Builder
	require.NoError(t, tmpl.Execute(&rendered, node))
	return rendered.String()
}

// concatenated is one file of several: the version is said once.
func concatenated(texts []string) string {
	all := texts[0]
	for _, text := range texts[1:] {
		all += strings.ReplaceAll(text, "version = 3\n", "")
	}
	return all
}

func decode(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	_, err := toml.Decode(text, &m)
	require.NoError(t, err, text)
	return m
}

// goesBy is the configuration that containerd makes of a file.
func (h *host) goesBy(t *testing.T, text string) map[string]any {
	t.Helper()
	path := filepath.Join(state, "sample.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cmd := h.command("containerd", "--config", path, "config", "dump")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	assert.NotContains(t, stderr.String(), "unknown key")
	return decode(t, string(out))
}

// assertSubset proves that all of want is in got, at whatever depth, but for what is
// not expected there.
func assertSubset(t *testing.T, want, got map[string]any, not []string) {
	t.Helper()
	has := map[string]any{}
	leaves(has, "", got)
	sets := map[string]any{}
	leaves(sets, "", want)
	for path, value := range sets {
		switch {
		case path == "/version": // each containerd prints its own version of the format
		case slices.Contains(not, path):
			assert.NotContains(t, has, path)
		default:
			assert.Equal(t, value, has[path], path)
		}
	}
}

// leaves gathers all values below v under their paths.
func leaves(all map[string]any, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			leaves(all, path+"/"+key, below)
		}
	case []map[string]any:
		for i, below := range v {
			leaves(all, fmt.Sprintf("%s/%d", path, i), below)
		}
	default:
		all[path] = v
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func veneer(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func writeTemp(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestDefaultConfigurationIsWhatItSays(t *testing.T) {
	code, text, _ := veneer(t, "config", "default")
	require.Zero(t, code)
	// Every commented key, switched on, is one that the program knows.
	on := strings.ReplaceAll(text, "\n# ", "\n")
	on = strings.Replace(on, "Veneer's configuration", "# Veneer's configuration", 1)
	var lines []string
	for line := range strings.Lines(on) {
		if !strings.HasSuffix(strings.Split(strings.TrimSpace(line), "#")[0], `= ""`) && !strings.Contains(line, `= ""  `) {
			lines = append(lines, line)
		}
	}
	path := writeTemp(t, "config.toml", strings.Join(lines, ""))
	code, out, stderr := veneer(t, "--config", path, "config", "check")
	assert.Zero(t, code, stderr)
	assert.Contains(t, out, "is right")
}

func TestWrongConfigurationIsOneSentence(t *testing.T) {
	for text, want := range map[string]string{
		"rooot = \"/x\"":                "unknown key \"rooot\"",
		"[pool]\nfs = \"ext4\"":         "unknown key \"pool.fs\"",
		"[pool]\nsize = \"big\"":        "\"big\" is not a size",
		"[pool]\nwhen_full = \"panic\"": "error and queue are possible",
		"root = ":                       "configuration",
	} {
		code, _, stderr := veneer(t, "--config", writeTemp(t, "c.toml", text), "config", "check")
		assert.Equal(t, exitUsage, code, text)
		assert.Contains(t, stderr, want)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
}

func TestTakingOverOtherConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want config
		said []string
	}{
		"containerd": {`version = 2
[plugins."io.containerd.snapshotter.v1.devmapper"]
  root_path = "/var/lib/containerd/devmapper"
  pool_name = "vg--1-thin--pool"
  base_image_size = "8192MB"
  async_remove = true
  fs_type = "xfs"
  fs_options = "nodiscard"
  colour = "blue"
`, config{Pool: poolConfig{Backing: "lvm", ExistingPool: "vg-1/thin-pool", BaseSize: 8 << 30, Filesystem: "xfs", MkfsOptions: []string{"-E", "nodiscard"}}},
			[]string{`async_remove = "true": not needed`, `colour = "blue": dropped: it is not known`}},
		"docker": {`{"storage-driver": "devicemapper", "storage-opts": ["dm.basesize=20G", "dm.datadev=/dev/sdb1", "dm.metadatadev=/dev/sdb2", "dm.blocksize=512K", "dm.min_free_space=10%", "dm.use_deferred_removal=true"]}`,
			config{MinFreeData: new(10.0), Pool: poolConfig{Backing: "devices", Data: "/dev/sdb1", Metadata: "/dev/sdb2", BaseSize: 20 << 30, BlockSize: 512 << 10}},
			[]string{`dm.min_free_space = "10%": min_free_data`}},
		"container-storage-setup": {"# a comment\nDEVS=/dev/vdb\nVG=docker\nCONTAINER_THINPOOL=pool\nCHUNK_SIZE=512K\nAUTO_EXTEND_POOL=yes\n",
			config{Pool: poolConfig{Backing: "lvm", ExistingPool: "docker/pool", BlockSize: 512 << 10}},
			[]string{`DEVS = "/dev/vdb": dropped`}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := veneer(t, "config", "import", writeTemp(t, "theirs", c.text))
			require.Zero(t, code, stderr)
			var got config
			_, err := toml.Decode(out, &got)
			require.NoError(t, err, out)
			assert.Equal(t, c.want, got)
			for _, s := range c.said {
				assert.Contains(t, stderr, s)
			}
		})
	}
	code, _, stderr := veneer(t, "config", "import", writeTemp(t, "none", "hello\n"))
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "holds no configuration")
	code, _, stderr = veneer(t, "config", "import", writeTemp(t, "bad", "dm.basesize=huge\n"))
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "not a size")
}

// Every key that can be taken over is given a value once: none panics.
func TestEveryForeignKeyHasAFate(t *testing.T) {
	for key := range foreign {
		for _, value := range []string{"", "1G", "true", "/dev/mapper/a-b", "10%"} {
			_, fates, err := importConfig("test", []byte(key+"="+value+"\n"))
			if err == nil && !strings.Contains(key, "_path") {
				require.NotEmpty(t, fates, key)
				assert.NotEmpty(t, fates[0].became, key)
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"}, {"pool", "nonsense"}, {"pool", "create", "--hedgehogs-only"}, {"image", "import"}, {"container", "clone", "one"},
		{"pool", "grow"}, {"--log-level", "loud", "info"}, {"--progress", "sometimes", "info"}, {"pool", "create", "--size", "big"},
		{"--config", "/nowhere/config.toml", "info"},
	} {
		code, _, stderr := veneer(t, args...)
		assert.Equal(t, exitUsage, code, "%v: %s", args, stderr)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		assert.True(t, strings.HasPrefix(stderr, "veneer: "), stderr)
	}
	code, out, _ := veneer(t, "--help")
	assert.Zero(t, code)
	assert.Contains(t, out, "Exit codes: 0 success")
	code, out, _ = veneer(t, "completion", "bash")
	assert.Zero(t, code)
	assert.NotEmpty(t, out)
	dir := t.TempDir()
	code, _, _ = veneer(t, "man", dir)
	assert.Zero(t, code)
	assert.FileExists(t, filepath.Join(dir, "veneer-pool-create.8"))
}

package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is typed wrong is found before anything is made or opened.
func TestWrongUsageIsRefused(t *testing.T) {
	p := newProgram(t)
	config := func(name, text string) string {
		path := filepath.Join(p.dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	create := func(flags ...string) []string { return append([]string{"pool", "create"}, flags...) }
	p.refusesEach(t, []refusal{
		{"unknown command", []string{"containr", "ls"}, exitUsage, []string{`"containr"`, `"container"`, "--help"}},
		{"unknown command, like no other", []string{"zzz"}, exitUsage, []string{`"zzz"`, "veneer --help"}},
		{"unknown subcommand", []string{"pool", "stats"}, exitUsage, []string{`"stats"`, "veneer pool --help"}},
		{"unknown flag", create("--siez", "1G"), exitUsage, []string{"--siez", "veneer pool create --help"}},
		{"unknown short flag", []string{"image", "ls", "-Z"}, exitUsage, []string{"-Z", "veneer image ls --help"}},
		{"flag without its value", create("--size"), exitUsage, []string{"--size", "veneer pool create --help"}},
		{"argument missing", []string{"image", "rm"}, exitUsage, []string{"veneer image rm", "images"}},
		{"argument too many", []string{"pool", "status", "now"}, exitUsage, []string{"veneer pool status", "no arguments"}},
		{"size that is a word", create("--size", "large"), exitUsage, []string{`"large"`, "--size", "10G"}},
		{"size below zero", create("--size=-1"), exitUsage, []string{`"-1"`, "--size", "10G"}},
		{"size of an unknown unit", create("--size", "10Q"), exitUsage, []string{`"10Q"`, "--size", "10G"}},
		{"size too large for a number", create("--size", "99999999999P"), exitUsage, []string{"99999999999P", "--size"}},
		{"size of nothing", create("--size", ""), exitUsage, []string{`""`, "--size"}},
		{"block size that is no multiple", create("--block-size", "100K"), exitUsage, []string{"64 KiB", "block"}},
		{"block size too small", create("--block-size", "4K"), exitUsage, []string{"64 KiB", "block"}},
		{"metadata too small", create("--metadata-size", "1M"), exitUsage, []string{"metadata"}},
		{"data too small", create("--size", "1M"), exitUsage, []string{"data"}},
		{"base too small", create("--base-size", "100K"), exitUsage, []string{"base snapshot size"}},
		{"metadata too large", create("--metadata-size", "20G"), exitUsage, []string{"metadata"}},
		{"filesystem", create("--filesystem", "btrfs"), exitUsage, []string{`"btrfs"`, "ext4 and xfs"}},
		{"backing", create("--backing", "tape"), exitUsage, []string{`"tape"`, "loop, devices and lvm"}},
		{"what to do when full", create("--when-full", "panic"), exitUsage, []string{`"panic"`, "error and queue"}},
		{"pool name", create("--name", "my/pool"), exitUsage, []string{`"my/pool"`}},
		{"devices without devices", create("--backing", "devices"), exitUsage, []string{"data and a metadata device"}},
		{"LVM without a group", create("--backing", "lvm"), exitUsage, []string{"volume group"}},
		{"unknown key in the configuration", []string{"pool", "create", "--config", config("key.toml", "[pool]\nsize = \"1G\"\nblok_size = \"64K\"\n")}, exitUsage, []string{"key.toml", `"pool.blok_size"`}},
		{"syntax of the configuration", []string{"image", "ls", "--config", config("syntax.toml", "root = \n")}, exitUsage, []string{"syntax.toml", "line 1"}},
		{"type in the configuration", []string{"image", "ls", "--config", config("type.toml", "min_free_data = \"much\"\n")}, exitUsage, []string{"type.toml", "min_free_data"}},
		{"size in the configuration", []string{"pool", "create", "--config", config("size.toml", "[pool]\nsize = \"huge\"\n")}, exitUsage, []string{"size.toml", `"huge"`}},
		{"configuration that is not there", []string{"image", "ls", "--config", filepath.Join(p.dir, "none.toml")}, exitUsage, []string{"none.toml", "is not there", "--config"}},
		{"configuration that is a folder", []string{"image", "ls", "--config", p.dir}, exitUsage, []string{p.dir, "directory"}},
		{"log level", []string{"image", "ls", "--log-level", "loud"}, exitUsage, []string{`"loud"`, "error, warn, info and debug"}},
		{"progress", []string{"image", "ls", "--progress", "dots"}, exitUsage, []string{`"dots"`, "auto, tty, plain and none"}},
		{"output format", []string{"image", "ls", "--format", "{{.Name"}, exitUsage, []string{"--format", "{{.Name"}},
		{"image to no place", []string{"image", "save", "nginx"}, exitUsage, []string{"--output"}},
		{"no store", []string{"image", "ls"}, exitNotFound, []string{p.root, "veneer pool create"}},
		{"doctor without a store", []string{"doctor"}, exitNotFound, []string{p.root, "veneer pool create"}},
	})
}

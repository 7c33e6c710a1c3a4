package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program runs a command line in this process.
func program(args ...string) (status int, stdout, stderr string) {
	var out, err strings.Builder
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

// complaint runs a command line that must be refused, in one sentence.
func complaint(t *testing.T, status int, args ...string) string {
	t.Helper()
	got, _, stderr := program(args...)
	assert.Equal(t, status, got, "%v: %s", args, stderr)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	assert.Len(t, lines, 1, "%v: one sentence, not %q", args, stderr)
	assert.True(t, strings.HasPrefix(lines[0], "cowbench: "), stderr)
	return lines[0]
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	corrupt, empty := write("corrupt.json", `{"schema": "veneer.cowbench/1", "cells": [`), write("empty.json", "")
	later := write("later.json", `{"schema": "veneer.cowbench/99"}`)
	nothing := write("nothing.json", `{"schema": "veneer.cowbench/1"}`)
	for _, c := range []struct {
		status int
		args   []string
		says   []string
	}{
		{2, []string{"rum"}, []string{`no command "rum"`}},
		{2, []string{"run", "--scenarios", "firstwrite"}, []string{`no scenario "firstwrite"`, "first-write"}},
		{2, []string{"explain", "nothing"}, []string{`no scenario "nothing"`}},
		{2, []string{"explain"}, []string{"the name of a scenario"}},
		{2, []string{"run", "--backends", "thick"}, []string{`no backend "thick"`, "thin", "overlay"}},
		{2, []string{"run", "--backends", "thin,thin"}, []string{"thin twice", "first=thin,second=thin"}},
		{2, []string{"run", "--backends", "A/B=thin"}, []string{`"A/B"`}},
		{2, []string{"run", "--quick", "--full"}, []string{"--quick and --full"}},
		{2, []string{"run", "--size", "12 parsecs"}, []string{`"12 parsecs"`}},
		{2, []string{"run", "--size", "1M"}, []string{"too small", "1GiB"}},
		{2, []string{"run", "--vm=perhaps"}, []string{`"perhaps"`}},
		{2, []string{"run", "--fast"}, []string{"unknown flag"}},
		{2, []string{"run", "now"}, []string{"no arguments"}},
		{2, []string{"run", "--device", "/dev/sdx"}, []string{"everything on /dev/sdx would be lost", "--yes-destroy /dev/sdx"}},
		{2, []string{"run", "--device", "/dev/sdx", "--yes-destroy", "/dev/sdy"}, []string{"--yes-destroy /dev/sdx"}},
		{2, []string{"run", "--yes-destroy", "/dev/sdx"}, []string{"without --device"}},
		{2, []string{"compare", corrupt}, []string{"two files"}},
		{1, []string{"compare", corrupt, empty}, []string{corrupt, "not a result of cowbench", "unexpected EOF"}},
		{1, []string{"compare", empty, corrupt}, []string{empty, "it is empty"}},
		{1, []string{"compare", later, later}, []string{later, "veneer.cowbench/99"}},
		{1, []string{"compare", nothing, nothing}, []string{"no case in common"}},
		{1, []string{"compare", dir + "/absent", empty}, []string{"absent", "no such file"}},
		{1, []string{"report", empty}, []string{"it is empty"}},
		{2, []string{"report"}, []string{"files that"}},
		{1, []string{"report", nothing, "-o", dir + "/no/such/folder.html"}, []string{"folder.html"}},
		{1, []string{"run", "--vm=never", "--backends", "aufs"}, []string{"aufs", "never taken into Linux"}},
		{1, []string{"run", "--vm=never", "--backends", "first=overlay,second=aufs"}, []string{"second: not available here"}},
	} {
		said := complaint(t, c.status, c.args...)
		for _, want := range c.says {
			assert.Contains(t, said, want, "%v", c.args)
		}
	}
}

// A tool that is missing is named, with what to install.
func TestMissingTool(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assert.Contains(t, complaint(t, 1, "run", "--scenarios", "fio"), "fio is not installed: install the package fio")
	assert.Contains(t, complaint(t, 1, "run", "--scenarios", "database"), "sqlite3 is not installed: install the package sqlite3")
}

// A page goes into a regular file or a new one: a rename would replace anything else.
func TestOutputReplacesRegularFilesAlone(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink("elsewhere", link))
	said := complaint(t, 1, "report", "../../docs/results/first-write-4g.json", "-o", link)
	assert.Contains(t, said, link+" is not a regular file and is not replaced")
	target, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, "elsewhere", target)
}

// Where the virtual machine's program is not beside this one, that is said, and what
// makes it.
func TestNoVM(t *testing.T) {
	t.Setenv("VENEER_VM", "")
	said := complaint(t, 1, "run", "--vm")
	assert.Contains(t, said, "make build")
	assert.Contains(t, said, "--vm=never")
}

func TestVMRepeatsTheCommandInside(t *testing.T) {
	a := &app{args: []string{"run", "--vm", "--quick", "--store", "/x", "--json", "/out/r.json"}}
	words, err := a.vmWords("/bin/vm", runFlags{json: "/out/r.json"})
	require.NoError(t, err)
	inside := words[len(words)-4:]
	assert.Equal(t, []string{"run", "--quick", "--json", "/out/r.json"}, inside)
	assert.Contains(t, strings.Join(words, " "), "-out /out --")
	_, err = a.vmWords("/bin/vm", runFlags{json: "/out/r.json", html: "/else/r.html"})
	assert.ErrorContains(t, err, "put them in the same")
}

func TestExplainAndList(t *testing.T) {
	status, out, _ := program("list")
	assert.Zero(t, status)
	for _, want := range []string{"thin", "overlay", "btrfs", "reflink", "copy", "zfs", "fuse-overlayfs", "aufs: ", "first-write", "full"} {
		assert.Contains(t, out, want)
	}
	status, out, _ = program("explain", "first-write")
	assert.Zero(t, status)
	assert.Contains(t, out, "--full: 4 KiB; 16 KiB; 64 KiB; 256 KiB; 1 MiB; 4 MiB; 16 MiB; 64 MiB; 256 MiB; 1 GiB; 4 GiB")
}

func TestCleanOfNothing(t *testing.T) {
	status, out, _ := program("clean", "--store", t.TempDir())
	assert.Zero(t, status)
	assert.Contains(t, out, "no run has left anything")
}

func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	status, _, stderr := program("man", dir)
	require.Zero(t, status, stderr)
	pages, err := filepath.Glob(dir + "/cowbench*.1")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(pages), 7)
}

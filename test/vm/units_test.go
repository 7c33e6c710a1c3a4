package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFramesRoundTrip(t *testing.T) {
	var channel bytes.Buffer
	w := &frameWriter{w: &channel}
	require.NoError(t, w.write(frameStdout, []byte("out")))
	require.NoError(t, w.write(frameReady, nil))
	kind, payload, err := readFrame(&channel)
	require.NoError(t, err)
	assert.Equal(t, frameStdout, kind)
	assert.Equal(t, "out", string(payload))
	kind, _, err = readFrame(&channel)
	require.NoError(t, err)
	assert.Equal(t, frameReady, kind)
	_, _, err = readFrame(&channel)
	assert.ErrorIs(t, err, io.EOF)
}

func TestFramesRefuseNoise(t *testing.T) {
	for _, noise := range []string{"kernel: something", "o\xff\xff\xff\xffx", "o\x00\x00\x00\x05abc", "x\x00"} {
		_, _, err := readFrame(strings.NewReader(noise))
		assert.Error(t, err, "%q", noise)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("o\x00\x00\x00\x03abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			kind, payload, err := readFrame(r)
			if err != nil {
				return
			}
			var again bytes.Buffer
			require.NoError(t, (&frameWriter{w: &again}).write(kind, payload))
			gotKind, gotPayload, err := readFrame(&again)
			require.NoError(t, err)
			assert.Equal(t, kind, gotKind)
			assert.Equal(t, payload, gotPayload)
		}
	})
}

func TestRedirectOutputs(t *testing.T) {
	args := []string{"/tmp/x.test", "-test.coverprofile=/b/c.out", "-test.outputdir=sub", "-test.cpuprofile=cpu", "-test.v=true", "-test.testlogfile=log"}
	got, outputs := redirectOutputs(args, "/here", "/files")
	assert.Equal(t, []string{"/tmp/x.test", "-test.coverprofile=/files/coverprofile-0", "-test.outputdir=sub",
		"-test.cpuprofile=/files/cpuprofile-2", "-test.v=true", "-test.testlogfile=/files/testlogfile-4"}, got)
	assert.Equal(t, []output{
		{"coverprofile-0", "/b/c.out"}, {"cpuprofile-2", "/here/sub/cpu"}, {"testlogfile-4", "/here/log"},
	}, outputs)
	plain := []string{"sh", "-c", "true"}
	got, outputs = redirectOutputs(plain, "/here", "/files")
	assert.Equal(t, plain, got)
	assert.Empty(t, outputs)
}

func TestDeliverOutputs(t *testing.T) {
	files, dest := t.TempDir(), t.TempDir()
	outputs := []output{{"gocoverdir-0/", dest}, {"trace-1", filepath.Join(dest, "t")}, {"absent-2", filepath.Join(dest, "u")}}
	require.NoError(t, makeOutputFolders(files, outputs))
	require.NoError(t, os.WriteFile(filepath.Join(files, "gocoverdir-0", "meta"), []byte("m"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(files, "trace-1"), []byte("t"), 0o600))
	require.NoError(t, deliverOutputs(files, outputs))
	assert.FileExists(t, filepath.Join(dest, "meta"))
	assert.FileExists(t, filepath.Join(dest, "t"))
	assert.NoFileExists(t, filepath.Join(dest, "u"))
}

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-mem", "1G", "-out", "o", "--", "x.test", "-test.timeout=3m"}, io.Discard)
	require.NoError(t, err)
	assert.EqualValues(t, 1<<30, o.memory)
	assert.True(t, o.leakCheck)
	assert.Equal(t, 4*time.Minute, o.timeout)
	assert.True(t, filepath.IsAbs(o.out))
	assert.Equal(t, []string{"x.test", "-test.timeout=3m"}, o.args)
	for _, bad := range [][]string{{}, {"-mem", "lots", "x"}, {"-mem", "1M", "x"}, {"-scratch", "0", "x"}, {"-leakcheck", "maybe", "x"}, {"-nosuch"}} {
		_, err := parseOptions(bad, io.Discard)
		assert.Error(t, err, "%v", bad)
	}
}

func TestModuleIndex(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(
		"kernel/md/dm-thin-pool.ko: kernel/md/dm-mod.ko\nkernel/md/dm-mod.ko:\nkernel/x.ko.xz:\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte("kernel/fs/ext4.ko\n"), 0o600))
	index, err := readModuleIndex(dir)
	require.NoError(t, err)
	assert.Equal(t, "kernel/md/dm-thin-pool.ko", index.files["dm_thin_pool"])
	assert.Equal(t, []string{"kernel/md/dm-mod.ko"}, index.needs["kernel/md/dm-thin-pool.ko"])
	assert.Contains(t, index.files, "x")
	assert.True(t, index.builtin["ext4"])
}

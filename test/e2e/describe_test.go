package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// describe says everything about the tree below a folder that an image can hold,
// one line a name: type, mode, owner, time, size, content, device, link target,
// extended attributes, and which names are one file. Two trees are the same if and
// only if the lines are.
func describe(t testing.TB, root string) []string {
	t.Helper()
	root += "/" // it may be a link to the folder
	first := map[uint64]string{}
	var lines []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		name := "/" + strings.TrimPrefix(path, root)
		line := fmt.Sprintf("%s %v %d:%d mtime=%d.%09d", name, info.Mode(), st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch {
		case info.Mode().IsRegular():
			sum, err := sumOf(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" size=%d sha256=%s", st.Size, sum)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case info.Mode()&fs.ModeDevice != 0:
			line += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if !info.IsDir() && st.Nlink > 1 {
			if one, ok := first[st.Ino]; ok {
				line += " = " + one
			} else {
				first[st.Ino] = name
			}
			line += fmt.Sprintf(" links=%d", st.Nlink)
		}
		attributes, err := xattrsOf(path)
		lines = append(lines, line+attributes)
		return err
	})
	require.NoError(t, err)
	return lines
}

// sameLines compares descriptions and shows only the lines that differ.
func sameLines(t testing.TB, want, got []string, which string) {
	t.Helper()
	without := func(lines, others []string) (rest []string) {
		for _, line := range lines {
			if !slices.Contains(others, line) {
				rest = append(rest, line)
			}
		}
		return rest
	}
	assert.Equal(t, without(want, got), without(got, want), which)
	assert.Len(t, got, len(want), which)
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

func xattrsOf(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		return "", err
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	text := ""
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %s=%x", name, buf[:n])
	}
	return text, nil
}

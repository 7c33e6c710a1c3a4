package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const original = `package p

// A comment with < in it.
const most = 4 << 10

func (t *tree[K]) grow(n int) bool {
	for i := range n {
		if t.used+i < most || n == 0 || t.full { n++
			continue
		}
	}
	return n&^1 > 0
}
`

// mutants of original as gremlins writes them: formatted anew, and with parentheses.
func TestFindMutation(t *testing.T) {
	for name, test := range map[string]struct {
		mutant string
		want   mutation
	}{
		"constant": {"package p\nconst most = 4 >> 10\nfunc (t *tree[K]) grow(n int) bool {\nfor i := range n { if t.used+i < most || n == 0 || t.full { n++; continue } }; return n&^1 > 0 }",
			mutation{"f.go", 4, 16, "", "const most = 4 << 10", "const most = 4 >> 10"}},
		"method, with parentheses": {"package p\nconst most = 4 << 10\nfunc (t *tree[K]) grow(n int) bool {\nfor i := range n { if (t.used+i < most || n == 0) && t.full { n++; continue } }; return n&^1 > 0 }",
			mutation{"f.go", 8, 32, "tree.grow", "if t.used+i < most || n == 0 || t.full { n++", "if t.used+i < most || n == 0 && t.full { n++"}},
		"keyword": {"package p\nconst most = 4 << 10\nfunc (t *tree[K]) grow(n int) bool {\nfor i := range n { if t.used+i < most || n == 0 || t.full { n++; break } }; return n&^1 > 0 }",
			mutation{"f.go", 9, 4, "tree.grow", "continue", "break"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := t.TempDir(), t.TempDir()
			for dir, text := range map[string]string{before: original, after: test.mutant} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "f.go"), []byte(text), 0o600))
				require.NoError(t, os.WriteFile(filepath.Join(dir, "same.go"), []byte(original), 0o600))
			}
			got, err := findMutation(before, after, []string{"same.go", "f.go"})
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f.go"), []byte(original), 0o600))
	_, err := findMutation(dir, dir, []string{"f.go"})
	require.ErrorIs(t, err, errUnchanged)
	_, err = compareTokens("f.go", []byte(original), []byte("package p\n"))
	require.Error(t, err)
}

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	require.NoError(t, os.Mkdir(to, 0o700))
	for _, name := range []string{"bin/large", ".cache/large", ".git/config", "p/bin/file", "p/.hidden"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(from, name), []byte(name), 0o640))
	}
	require.NoError(t, os.Symlink("p", filepath.Join(from, "out")))
	require.NoError(t, copyTree(from, to))
	left, err := filepath.Glob(filepath.Join(to, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(to, "p")}, left)
	for _, name := range []string{"p/bin/file", "p/.hidden"} {
		body, err := os.ReadFile(filepath.Join(to, name))
		require.NoError(t, err)
		assert.Equal(t, name, string(body))
	}
}

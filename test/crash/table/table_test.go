package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "rows")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := write(`{"kind":"power cut","points":2000,"seed":1,"duration":60000000000}` + "\n" + `{"kind":"controls","points":9,"controls":3,"caught":3}` + "\n")
	var out strings.Builder
	require.NoError(t, run([]string{good}, &out))
	assert.Contains(t, out.String(), "power cut      2000    0           -")
	assert.Contains(t, out.String(), "3 of 3")
	for _, bad := range []string{
		`{"kind":"a","points":1,"violations":1}`, `{"kind":"a","points":1,"controls":2,"caught":1}`, `{"kind":"a","points":0}`, ``,
	} {
		assert.Error(t, run([]string{write(bad)}, &out), bad)
	}
}

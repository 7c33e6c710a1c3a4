package table_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/test/crash/table"
	"github.com/veneerdm/veneer/test/resulttest"
)

func TestReadAndPrint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows")
	rows, err := table.Read(path)
	require.NoError(t, err, "no row was appended")
	assert.Empty(t, rows)
	good := `{"kind":"power cut","points":2000,"seed":1,"duration":60000000000}` + "\n" + `{"kind":"controls","points":9,"controls":3,"caught":3}` + "\n"
	require.NoError(t, os.WriteFile(path, []byte(good), 0o600))
	rows, err = table.Read(path)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	var out strings.Builder
	require.NoError(t, table.Print(&out, rows))
	assert.Contains(t, out.String(), "power cut      2000    0           -")
	assert.Contains(t, out.String(), "3 of 3")
	assert.Contains(t, out.String(), "in all         2009    0")

	require.NoError(t, os.WriteFile(path, []byte(good+"{\"kind\":"), 0o600))
	rows, err = table.Read(path)
	require.Error(t, err, "the process was killed while it wrote")
	assert.Len(t, rows, 2)
}

func TestGood(t *testing.T) {
	assert.True(t, table.Good(resulttest.Row{Points: 1}))
	assert.True(t, table.Good(resulttest.Row{Points: 1, Controls: 2, Caught: 2}))
	for _, bad := range []resulttest.Row{{}, {Points: 1, Violations: 1}, {Points: 1, Controls: 2, Caught: 1}} {
		assert.False(t, table.Good(bad), "%+v", bad)
	}
}

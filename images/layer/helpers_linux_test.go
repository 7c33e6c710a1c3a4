package layer_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// sparseTar makes a tar with the file "huge" of that size: one hole and one byte
// at the end, in the PAX 1.0 form, which archive/tar reads and does not write.
func sparseTar(tb testing.TB, size int64) []byte {
	tb.Helper()
	content := fmt.Sprintf("1\n%d\n1\n", size-1)
	content += strings.Repeat("\x00", 512-len(content)) + "x"
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=huge", fmt.Sprintf("GNU.sparse.realsize=%d", size)} {
		n := len(r) + 4 // "NN " and the newline
		records += fmt.Sprintf("%02d %s\n", n, r)
	}
	require.NoError(tb, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders.0/huge", Size: int64(len(records)), Format: tar.FormatUSTAR}))
	_, err := tw.Write([]byte(records))
	require.NoError(tb, err)
	require.NoError(tb, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "GNUSparseFile.0/huge", Size: int64(len(content)), Format: tar.FormatUSTAR, Mode: 0o644}))
	_, err = tw.Write([]byte(content))
	require.NoError(tb, err)
	require.NoError(tb, tw.Close())
	raw := buf.Bytes()
	raw[156] = tar.TypeXHeader // archive/tar writes no extended headers by hand
	sum := 0
	copy(raw[148:156], "        ")
	for _, b := range raw[:512] {
		sum += int(b)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

func blocks(t *testing.T, info os.FileInfo) int64 {
	t.Helper()
	st, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	return st.Blocks
}

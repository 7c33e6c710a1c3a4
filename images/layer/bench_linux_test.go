package layer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
)

// BenchmarkApply unpacks a layer like that of a distribution - 6,000 small files
// in 700 directories, links, 120 MB - and has tar do the same in turn, so that
// the two are measured under the same conditions. The tar is in the page cache.
func BenchmarkApply(b *testing.B) {
	dir := b.TempDir()
	file := filepath.Join(dir, "layer.tar")
	require.NoError(b, os.WriteFile(file, distribution(b), 0o600))
	if given := os.Getenv("VENEER_LAYER_TAR"); given != "" {
		file = given
	}
	var ours, theirs time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		turns := []func(){
			func() { ours += timed(b, func(root string) { applyFile(b, file, root) }) },
			func() { theirs += timed(b, func(root string) { tarFile(b, file, root) }) },
		}
		turns[i%2]() // whoever comes second meets a busier disk
		turns[1-i%2]()
		b.StartTimer()
	}
	b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "apply-ms/op")
	b.ReportMetric(float64(theirs.Milliseconds())/float64(b.N), "tar-ms/op")
	b.ReportMetric(float64(ours)/float64(theirs), "x-tar")
	b.ReportMetric(0, "ns/op") // times of the loop itself mean nothing
}

// timed runs unpack into a new directory, on a quiet disk.
func timed(b *testing.B, unpack func(root string)) time.Duration {
	b.Helper()
	root := filepath.Join(b.TempDir(), "root")
	require.NoError(b, os.Mkdir(root, 0o755))
	syscall.Sync()
	start := time.Now()
	unpack(root)
	took := time.Since(start)
	require.NoError(b, os.RemoveAll(root))
	return took
}

func applyFile(b *testing.B, file, root string) {
	b.Helper()
	f, err := os.Open(file)
	require.NoError(b, err)
	s := layer.Decompress(b.Context(), f, layer.Limits{})
	_, err = layer.Apply(b.Context(), Open(b, root), s, layer.ApplyOptions{})
	require.NoError(b, err)
	require.NoError(b, s.Close())
	require.NoError(b, f.Close())
}

func tarFile(b *testing.B, file, root string) {
	b.Helper()
	out, err := exec.Command("tar", "-x", "-f", file, "-C", root, "--numeric-owner", "-p").CombinedOutput()
	require.NoError(b, err, string(out))
}

func distribution(b *testing.B) []byte {
	b.Helper()
	data := string(noise(1 << 20))
	var entries []Entry
	for d := range 700 {
		dir := fmt.Sprintf("usr/share/p%02d/d%d", d%40, d)
		entries = append(entries, Folder(dir))
		for f := range 8 {
			size := (d*8+f)*7919%24_000 + 10
			entries = append(entries, File(fmt.Sprintf("%s/file%d", dir, f), data[:size]))
		}
		entries = append(entries, Symlink(dir+"/link", "file0"))
	}
	for i := range 50 {
		entries = append(entries, File(fmt.Sprintf("usr/lib/lib%d.so", i), data))
	}
	return Tar(b, entries...)
}

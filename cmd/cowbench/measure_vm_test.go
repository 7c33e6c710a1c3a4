package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/disk"
	"github.com/veneerdm/veneer/bench/scenario"
	"github.com/veneerdm/veneer/bench/stats"
)

var aaRuns = flag.Int("aa", 2, "how many runs measure one backend under two names")

// A first write into a file of 64 MiB costs a thin snapshot what one into 4 KiB does,
// and an overlay the copy of the file. What is written is judged; how long it takes is
// for cowbench itself to measure, on a machine that does nothing else.
func TestFirstWriteIsFlat(t *testing.T) {
	requireVM(t)
	r := measured(t, bench.Plan{Scenarios: []bench.Scenario{scenario.FirstWrite{}}, Scale: bench.Quick, Rounds: 11, DiskSize: 1 << 30}, disk.Files, "thin", "overlay")
	growth := func(backend string, m bench.Metric) float64 {
		small, ok1 := r.Cell("first-write", "4 KiB", backend)
		large, ok2 := r.Cell("first-write", "64 MiB", backend)
		require.True(t, ok1 && ok2)
		return large.Metrics[m.Name].Median / small.Metrics[m.Name].Median
	}
	assert.LessOrEqual(t, growth("thin", bench.Written), 1.5)
	assert.Greater(t, growth("overlay", bench.Written), 100.0)
	t.Logf("64 MiB takes thin %.2f times as long as 4 KiB, and overlay %.1f times", growth("thin", bench.Time), growth("overlay", bench.Time))
}

// witness asks another device of the same bytes, each time a disk is asked.
type witness struct {
	bench.Disk
	below    string // name of the block device below
	counts   *[]bench.IO
	observed *[]uint64
}

func (w witness) Count() (bench.IO, error) {
	c, err := w.Disk.Count()
	*w.counts = append(*w.counts, c)
	var words [11]uint64
	data, readErr := os.ReadFile("/sys/block/" + w.below + "/stat")
	if readErr == nil {
		for i, word := range strings.Fields(string(data))[:11] {
			_, readErr = fmt.Sscan(word, &words[i])
		}
	}
	*w.observed = append(*w.observed, words[6]*512)
	return c, errors.Join(err, readErr)
}

// What is reported as written is what the device below the store has counted by
// itself, within 5 %.
func TestWrittenIsWhatTheDiskSaw(t *testing.T) {
	requireVM(t)
	for _, name := range []string{"thin", "overlay", "btrfs"} {
		device := loopOn(t, filepath.Join(newStore(t), name), 2<<30)
		var counts []bench.IO
		var observed []uint64
		folder, err := disk.NewFolder(newStore(t))
		require.NoError(t, err)
		source, err := disk.Device(folder, device.Path)
		require.NoError(t, err)
		r := measured(t, bench.Plan{
			Scenarios: []bench.Scenario{scenario.FirstWrite{}}, Scale: bench.Tiny, Rounds: 5, DiskSize: 1 << 30,
			Disk: func(ctx context.Context, name string, size uint64) (bench.Disk, error) {
				d, err := source.Disk(ctx, name, size)
				return witness{d, filepath.Base(device.Path), &counts, &observed}, err
			},
		}, nil, name)
		require.NoError(t, folder.Close())
		require.NotEmpty(t, r.Cells)
		var said, saw float64
		for i := 0; i+1 < len(counts); i += 2 { // before and after each measurement
			said += float64(counts[i+1].Since(counts[i]).WrittenBytes)
			saw += float64(observed[i+1] - observed[i])
		}
		var reported float64
		for _, c := range r.Cells {
			for _, v := range c.Metrics["written"].Raw {
				reported += v
			}
		}
		t.Logf("%s: reported %.0f KiB, of %.0f KiB with the rounds thrown away; the device counted %.0f KiB", name, reported/1024, said/1024, saw/1024)
		assert.Greater(t, reported, 0.0)
		assert.InEpsilon(t, saw, said, 0.05, name)
	}
}

// An overlay writes the file and a little more; that is what is reported.
func TestWrittenIsWhatWasCopied(t *testing.T) {
	requireVM(t)
	r := measured(t, bench.Plan{Scenarios: []bench.Scenario{scenario.FirstWrite{}}, Scale: bench.Tiny, Rounds: 3, DiskSize: 1 << 30}, disk.Files, "overlay", "thin")
	copied, ok := r.Cell("first-write", "16 MiB", "overlay")
	require.True(t, ok)
	assert.InEpsilon(t, 16<<20, copied.Metrics["written"].Median, 0.05)
	assert.InEpsilon(t, 16<<20, copied.Metrics["stored"].Median, 0.05)
	block, ok := r.Cell("first-write", "16 MiB", "thin")
	require.True(t, ok)
	assert.Equal(t, float64(64<<10), block.Metrics["stored"].Median, "one block")
}

// enough is how many runs it takes for a share of one in twenty to mean something.
const enough = 20

// One backend under two names: nothing may be found. make bench-aa does it 20 times, and
// judges what was timed; a few runs judge what was counted.
func TestEqualsAreEqual(t *testing.T) {
	requireVM(t)
	cells, different, counted := 0, 0, 0
	for n := range *aaRuns {
		began := time.Now()
		name := []string{"thin", "overlay"}[n%2]
		r := measured(t, bench.Plan{Scenarios: []bench.Scenario{scenario.FirstWrite{}}, Scale: bench.Tiny, Rounds: 8, DiskSize: 1 << 30}, disk.Files, "a="+name, "b="+name)
		found := 0
		for _, m := range r.MetricsOf("first-write") {
			for _, row := range r.Rows("first-write", m) {
				require.Len(t, row.Cells, 2)
				cells++
				if c := stats.Compare(row.Cells[0].Metrics[m.Name].Raw, row.Cells[1].Metrics[m.Name].Raw); c.Verdict == stats.Different {
					found++
					if m == bench.Written || m == bench.Stored {
						counted++
					}
					t.Logf("run %d: %s of %s, %s: %.3f times, p = %.4f", n+1, name, row.Case, m.Name, c.Ratio, c.P)
				}
			}
		}
		different += found
		t.Logf("run %d, %s: %d differences (%s)", n+1, name, found, time.Since(began).Round(time.Second))
	}
	require.NotZero(t, cells)
	t.Logf("%d of %d cells without a difference: %.1f %%", cells-different, cells, 100*float64(cells-different)/float64(cells))
	assert.Zero(t, counted, "differences of what is counted")
	if *aaRuns >= enough {
		assert.GreaterOrEqual(t, float64(cells-different), math.Floor(0.95*float64(cells)))
	}
}

// Every scenario, on one backend of each kind, and every backend that this machine has,
// on two scenarios: all content checks pass.
func TestEverythingOnce(t *testing.T) {
	requireVM(t)
	store := newStore(t)
	for _, args := range [][]string{
		{"--scenarios", "all", "--backends", "thin,overlay,btrfs"},
		{"--backends", "reflink,copy,thin-xfs,thin-128k,thin-1m,overlay-metacopy,overlay-redirect,overlay-volatile,fuse-overlayfs", "--scenarios", "first-write,changes"},
	} {
		json, page := filepath.Join(store, "r.json"), filepath.Join(store, "r.html")
		status, out, stderr := program(append([]string{"run", "--tiny", "--rounds", "1", "--longest", "24h", "--size", "1G", "--store", store, "--json", json, "--html", page}, args...)...)
		require.Zero(t, status, stderr)
		assert.Contains(t, out, "first-write")
		assert.NotContains(t, out, "went wrong")
		assert.NotContains(t, out, "not measured")
		r, err := readResult(json)
		require.NoError(t, err)
		assert.NotEmpty(t, r.Environment.Virtual+os.Getenv("VENEER_VM"))
		status, out, stderr = program("compare", json, json)
		require.Zero(t, status, stderr)
		assert.Contains(t, out, "0 different")
		require.NoError(t, os.Remove(json))
		require.NoError(t, os.Remove(page))
	}
	assert.Empty(t, things(t, store), "a run leaves nothing")
}

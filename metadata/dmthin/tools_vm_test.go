package dmthin_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

// requireVM keeps tests that need the reference tools where they are installed.
func requireVM(t testing.TB) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

// restore has thin_restore write metadata for a pool.
func restore(t testing.TB, p dmthintest.Pool, blocks int) string {
	t.Helper()
	var x strings.Builder
	fmt.Fprintf(&x, "<superblock uuid=\"\" time=\"%d\" transaction=\"%d\" data_block_size=\"%d\" nr_data_blocks=\"4000000\">\n", p.Time, p.Transaction, p.DataBlockSize)
	for _, id := range slices.Sorted(maps.Keys(p.Devices)) {
		d := p.Devices[id]
		fmt.Fprintf(&x, "<device dev_id=\"%d\" mapped_blocks=\"%d\" transaction=\"%d\" creation_time=\"%d\" snap_time=\"%d\">\n", id, len(d.Mappings), d.Transaction, d.Created, d.Snapshotted)
		for _, k := range slices.Sorted(maps.Keys(d.Mappings)) {
			fmt.Fprintf(&x, "<single_mapping origin_block=\"%d\" data_block=\"%d\" time=\"%d\"/>\n", k, d.Mappings[k].Data, d.Mappings[k].Time)
		}
		x.WriteString("</device>\n")
	}
	x.WriteString("</superblock>\n")
	in, out := filepath.Join(t.TempDir(), "pool.xml"), filepath.Join(t.TempDir(), "pool.meta")
	require.NoError(t, os.WriteFile(in, []byte(x.String()), 0o600))
	require.NoError(t, os.WriteFile(out, nil, 0o600))
	require.NoError(t, os.Truncate(out, int64(blocks)*dmthin.MetaBlockSize))
	run(t, "thin_restore", "-i", in, "-o", out)
	return out
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", name, stderr.String())
	return string(out)
}

func open(t testing.TB, path string) *dmthin.Metadata {
	t.Helper()
	f, err := dmthin.OpenDirect(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	m, err := dmthin.Open(f)
	require.NoError(t, err)
	return m
}

// AgreesWithTools compares every answer with thin_ls, thin_dump and thin_delta.
func agreesWithTools(t *testing.T, path string) {
	t.Helper()
	m := open(t, path)
	usage, err := m.Usage(t.Context())
	require.NoError(t, err)
	var mine strings.Builder
	for _, u := range usage {
		fmt.Fprintf(&mine, "%d %d %d %d\n", u.ID, u.Mapped, u.Exclusive, u.Shared())
	}
	theirs := run(t, "thin_ls", "--no-headers", "-o", "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS", path)
	var normal strings.Builder
	for line := range strings.Lines(theirs) {
		normal.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	require.Equal(t, normal.String(), mine.String(), "thin_ls")

	var dump struct {
		Devices []struct {
			ID          uint64 `xml:"dev_id,attr"`
			Mapped      uint64 `xml:"mapped_blocks,attr"`
			Transaction uint64 `xml:"transaction,attr"`
			Created     uint32 `xml:"creation_time,attr"`
			Snapshotted uint32 `xml:"snap_time,attr"`
			Single      []struct {
				Virtual uint64 `xml:"origin_block,attr"`
				Data    uint64 `xml:"data_block,attr"`
				Time    uint32 `xml:"time,attr"`
			} `xml:"single_mapping"`
			Ranges []struct {
				Virtual uint64 `xml:"origin_begin,attr"`
				Data    uint64 `xml:"data_begin,attr"`
				Length  uint64 `xml:"length,attr"`
				Time    uint32 `xml:"time,attr"`
			} `xml:"range_mapping"`
		} `xml:"device"`
	}
	require.NoError(t, xml.Unmarshal([]byte(run(t, "thin_dump", path)), &dump))
	devices, err := m.Devices(t.Context())
	require.NoError(t, err)
	require.Len(t, devices, len(dump.Devices))
	for i, want := range dump.Devices {
		got := devices[i]
		assert.EqualValues(t, want.ID, got.ID)
		assert.EqualValues(t, want.Mapped, got.Mapped)
		assert.EqualValues(t, want.Transaction, got.Transaction)
		assert.Equal(t, [2]uint32{want.Created, want.Snapshotted}, [2]uint32{got.Created, got.Snapshotted})
		wantRuns := map[uint64]dmthin.Run{}
		for _, s := range want.Single {
			wantRuns[s.Virtual] = dmthin.Run{Virtual: dmthin.DataBlocks(s.Virtual), Data: dmthin.DataBlocks(s.Data), Length: 1, Time: s.Time}
		}
		for _, s := range want.Ranges {
			wantRuns[s.Virtual] = dmthin.Run{Virtual: dmthin.DataBlocks(s.Virtual), Data: dmthin.DataBlocks(s.Data), Length: dmthin.DataBlocks(s.Length), Time: s.Time}
		}
		gotRuns := map[uint64]dmthin.Run{}
		require.NoError(t, m.Mappings(t.Context(), got.ID, func(r dmthin.Run) error { gotRuns[uint64(r.Virtual)] = r; return nil }))
		require.Equal(t, wantRuns, gotRuns, "thin_dump of device %d", got.ID)
	}
	for i := 1; i < len(devices); i++ {
		a, b := devices[i-1].ID, devices[i].ID
		var mine [][3]string
		require.NoError(t, m.Delta(t.Context(), a, b, func(r dmthin.Range) error {
			word := map[dmthin.Change]string{dmthin.Added: "right_only", dmthin.Removed: "left_only", dmthin.Changed: "different"}[r.Change]
			mine = append(mine, [3]string{word, strconv.FormatUint(uint64(r.Start), 10), strconv.FormatUint(uint64(r.Length), 10)})
			return nil
		}))
		require.Equal(t, thinDelta(t, path, a, b), mine, "thin_delta from %d to %d", a, b)
	}
}

func thinDelta(t *testing.T, path string, a, b dmthin.ThinID) (ranges [][3]string) {
	t.Helper()
	out := run(t, "thin_delta", "--snap1", a.String(), "--snap2", b.String(), path)
	dec := xml.NewDecoder(strings.NewReader(out))
	for {
		tok, err := dec.Token()
		if tok == nil {
			return ranges
		}
		require.NoError(t, err)
		e, ok := tok.(xml.StartElement)
		if !ok || (e.Name.Local != "left_only" && e.Name.Local != "right_only" && e.Name.Local != "different") {
			continue
		}
		at := map[string]string{}
		for _, attr := range e.Attr {
			at[attr.Name.Local] = attr.Value
		}
		ranges = append(ranges, [3]string{e.Name.Local, at["begin"], at["length"]})
	}
}

func TestAgreesWithToolsOnRestoredPools(t *testing.T) {
	requireVM(t)
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 77))
		agreesWithTools(t, restore(t, randomPool(r), 2048))
	}
}

// A walk over a million mappings against thin_ls in the same run.
func TestMillionMappingsAgainstThinLs(t *testing.T) {
	requireVM(t)
	p := dmthintest.Pool{DataBlockSize: 128, Time: 9, Devices: map[dmthin.ThinID]dmthintest.Device{}}
	r := rand.New(rand.NewPCG(5, 5))
	for id := range dmthin.ThinID(4) {
		d := dmthintest.Device{Mappings: map[uint64]dmthintest.Mapping{}}
		for i := range uint64(250_000) {
			// Runs of random length: what files on a used filesystem look like.
			d.Mappings[i] = dmthintest.Mapping{Data: uint64(id)*250_000 + i ^ uint64(r.IntN(2))}
		}
		p.Devices[id] = d
	}
	path := restore(t, p, 32768)
	var ours, theirs []time.Duration
	for range 5 {
		start := time.Now()
		_, err := open(t, path).Usage(t.Context())
		require.NoError(t, err)
		ours = append(ours, time.Since(start))
		start = time.Now()
		run(t, "thin_ls", "--no-headers", "-o", "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS", path)
		theirs = append(theirs, time.Since(start))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	t.Logf("usage of 1,000,000 mappings, median of 5: ours %v, thin_ls %v, ratio %.3f", ours[2], theirs[2], float64(ours[2])/float64(theirs[2]))
}

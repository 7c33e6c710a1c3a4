package dmthin_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

func Example() {
	pool := dmthintest.Bytes(dmthintest.Pool{DataBlockSize: 128, Devices: map[dmthin.ThinID]dmthintest.Device{
		1: {Mappings: map[uint64]dmthintest.Mapping{0: {Data: 10}, 1: {Data: 11}}},
		2: {Mappings: map[uint64]dmthintest.Mapping{0: {Data: 10}, 1: {Data: 12}, 7: {Data: 13}}},
	}})
	m, err := dmthin.Open(bytes.NewReader(pool)) // dmthin.OpenDirect for a device
	if err != nil {
		fmt.Println(err)
		return
	}
	usage, err := m.Usage(context.Background())
	fmt.Println(usage, err)
	err = m.Delta(context.Background(), 1, 2, func(r dmthin.Range) error {
		fmt.Println(r.Change, r.Start, r.Length)
		return nil
	})
	fmt.Println(err)
	// Output:
	// [{1 2 1} {2 3 2}] <nil>
	// changed 1 1
	// added 7 1
	// <nil>
}

// randomPool makes devices that share much of each other, as snapshots do.
func randomPool(r *rand.Rand) dmthintest.Pool {
	p := dmthintest.Pool{DataBlockSize: 128, Devices: map[dmthin.ThinID]dmthintest.Device{}, LeafEntries: 1 + r.IntN(40)}
	next := uint64(r.IntN(100))
	var ids []dmthin.ThinID
	for range 1 + r.IntN(8) {
		id := dmthin.ThinID(r.IntN(1 << 24))
		d := dmthintest.Device{Mappings: map[uint64]dmthintest.Mapping{}}
		if len(ids) > 0 && r.IntN(4) > 0 {
			maps.Copy(d.Mappings, p.Devices[ids[r.IntN(len(ids))]].Mappings)
		}
		for range r.IntN(300) {
			at := uint64(r.IntN(2000))
			for range 1 + r.IntN(5) {
				if r.IntN(6) == 0 {
					delete(d.Mappings, at)
				} else {
					d.Mappings[at] = dmthintest.Mapping{Data: next, Time: p.Time}
					next++
				}
				at++
			}
		}
		p.Time++
		p.Devices[id] = d
		ids = append(ids, id)
	}
	return p
}

// The reader's answers equal those counted directly from the description.
func TestAnswersEqualAPlainCount(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := randomPool(r)
		m, err := dmthin.Open(bytes.NewReader(dmthintest.Bytes(p)))
		require.NoError(t, err)

		users := map[uint64]map[dmthin.ThinID]bool{}
		for id, d := range p.Devices {
			for _, v := range d.Mappings {
				if users[v.Data] == nil {
					users[v.Data] = map[dmthin.ThinID]bool{}
				}
				users[v.Data][id] = true
			}
		}
		usage, err := m.Usage(t.Context())
		require.NoError(t, err)
		require.Len(t, usage, len(p.Devices))
		for _, u := range usage {
			var exclusive dmthin.DataBlocks
			for _, v := range p.Devices[u.ID].Mappings {
				if len(users[v.Data]) == 1 {
					exclusive++
				}
			}
			assert.EqualValues(t, len(p.Devices[u.ID].Mappings), u.Mapped, "seed %d", seed)
			assert.Equal(t, exclusive, u.Exclusive, "seed %d device %d", seed, u.ID)
		}

		var set []dmthin.ThinID
		for id := range p.Devices {
			if r.IntN(2) == 0 {
				set = append(set, id)
			}
		}
		var freed dmthin.DataBlocks
		for _, by := range users {
			n := 0
			for _, id := range set {
				if by[id] {
					n++
				}
			}
			if n == len(by) {
				freed++
			}
		}
		got, err := m.Freed(t.Context(), set...)
		require.NoError(t, err)
		assert.Equal(t, freed, got, "seed %d set %v", seed, set)

		for a := range p.Devices {
			for b := range p.Devices {
				checkDelta(t, m, p, a, b)
			}
			var mapped uint64
			require.NoError(t, m.Mappings(t.Context(), a, func(run dmthin.Run) error {
				for i := range run.Length {
					v := p.Devices[a].Mappings[uint64(run.Virtual+i)]
					require.EqualValues(t, v.Data, run.Data+i)
					require.Equal(t, v.Time, run.Time)
					mapped++
				}
				return nil
			}))
			require.EqualValues(t, len(p.Devices[a].Mappings), mapped)
		}
	}
}

func checkDelta(t *testing.T, m *dmthin.Metadata, p dmthintest.Pool, a, b dmthin.ThinID) {
	t.Helper()
	from, to := p.Devices[a].Mappings, p.Devices[b].Mappings
	want := map[uint64]dmthin.Change{}
	for k, v := range to {
		if old, ok := from[k]; !ok {
			want[k] = dmthin.Added
		} else if old.Data != v.Data {
			want[k] = dmthin.Changed
		}
	}
	for k := range from {
		if _, ok := to[k]; !ok {
			want[k] = dmthin.Removed
		}
	}
	got := map[uint64]dmthin.Change{}
	last := -1
	require.NoError(t, m.Delta(t.Context(), a, b, func(r dmthin.Range) error {
		require.Greater(t, int(r.Start), last, "ranges ascend")
		for i := range r.Length {
			got[uint64(r.Start+i)] = r.Change
		}
		last = int(r.Start + r.Length - 1)
		return nil
	}))
	require.Equal(t, want, got, "from %d to %d", a, b)
}

// countingReader counts the blocks that are read.
type countingReader struct {
	*bytes.Reader
	blocks int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.blocks += len(p) / dmthin.MetaBlockSize
	return c.Reader.ReadAt(p, off)
}

func TestDeltaDoesNotVisitWhatIsShared(t *testing.T) {
	base := map[uint64]dmthintest.Mapping{}
	for i := range uint64(200_000) {
		base[i] = dmthintest.Mapping{Data: i}
	}
	changed := map[uint64]dmthintest.Mapping{}
	maps.Copy(changed, base)
	changed[123_456] = dmthintest.Mapping{Data: 500_000, Time: 1}
	raw := dmthintest.Bytes(dmthintest.Pool{DataBlockSize: 128, Devices: map[dmthin.ThinID]dmthintest.Device{1: {Mappings: base}, 2: {Mappings: changed}}})
	c := &countingReader{Reader: bytes.NewReader(raw)}
	m, err := dmthin.Open(c)
	require.NoError(t, err)
	c.blocks = 0
	var got []dmthin.Range
	require.NoError(t, m.Delta(t.Context(), 1, 2, func(r dmthin.Range) error { got = append(got, r); return nil }))
	assert.Equal(t, []dmthin.Range{{Change: dmthin.Changed, Start: 123_456, Length: 1}}, got)
	assert.Less(t, c.blocks, 60, "of %d blocks", len(raw)/dmthin.MetaBlockSize)
}

func TestUnknownDevice(t *testing.T) {
	m, err := dmthin.Open(bytes.NewReader(dmthintest.Bytes(randomPool(rand.New(rand.NewPCG(3, 1))))))
	require.NoError(t, err)
	_, err = m.Device(t.Context(), 77)
	assert.ErrorIs(t, err, dmthin.ErrNoDevice)
	_, err = m.Freed(t.Context(), 77)
	assert.ErrorIs(t, err, dmthin.ErrNoDevice)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Usage(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

// ask puts every question to metadata that may be corrupt. The answers do not
// matter: no question may panic, loop or take what it must not.
func ask(raw []byte) (errs []error) {
	ctx := context.Background()
	for _, open := range []func() (*dmthin.Metadata, error){
		func() (*dmthin.Metadata, error) { return dmthin.Open(bytes.NewReader(raw)) },
		func() (*dmthin.Metadata, error) {
			return dmthin.OpenSnapshot(bytes.NewReader(raw), dmthintest.HeldRoot)
		},
	} {
		m, err := open()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		devices, err := m.Devices(ctx)
		_, err2 := m.Usage(ctx)
		errs = append(errs, err, err2)
		if m.Superblock().Block == 0 {
			errs = append(errs, m.Verify(ctx))
		}
		for _, d := range devices {
			_, err := m.Freed(ctx, d.ID)
			errs = append(errs, err, m.Mappings(ctx, d.ID, func(dmthin.Run) error { return nil }),
				m.Delta(ctx, devices[0].ID, d.ID, func(dmthin.Range) error { return nil }))
		}
	}
	return errs
}

// Every single flipped bit is found, because every block has a checksum.
func TestFlippedBitsAreErrors(t *testing.T) {
	raw := dmthintest.Bytes(randomPool(rand.New(rand.NewPCG(9, 9))))
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		at, bit := r.IntN(len(raw)), byte(1)<<r.IntN(8)
		raw[at] ^= bit
		found := false
		for _, err := range ask(raw) {
			if err != nil {
				found = true
				require.ErrorIs(t, err, dmthin.ErrCorrupt)
			}
		}
		require.True(t, found, "bit %#x of byte %d", bit, at)
		raw[at] ^= bit
	}
	for _, n := range []int{0, 1, 4095, 4096, len(raw) - 4096, len(raw) - 1} {
		found := false
		for _, err := range ask(raw[:n]) {
			found = found || err != nil
		}
		assert.True(t, found, "cut to %d bytes", n)
	}
}

// Damage that carries a right checksum is found by structure or bounded in effect.
func FuzzSealedDamage(f *testing.F) {
	raw := dmthintest.Bytes(randomPool(rand.New(rand.NewPCG(4, 4))))
	f.Add(uint16(2), uint16(16), uint64(300))
	f.Add(uint16(3), uint16(8+32), uint64(3))
	f.Add(uint16(len(raw)/4096-1), uint16(32+8*252), uint64(2))
	f.Add(uint16(0), uint16(320), uint64(0))
	f.Fuzz(func(t *testing.T, blockNr, offset uint16, value uint64) {
		damaged := bytes.Clone(raw)
		n := int(blockNr) % (len(raw) / 4096)
		b := damaged[n*4096 : (n+1)*4096]
		at := 4 + int(offset)%(4096-12)
		for i := range 8 {
			b[at+i] = byte(value >> (8 * i))
		}
		salt := uint32(121107)
		if n < 2 {
			salt = 160774
		}
		dmthintest.Seal(b, salt)
		for _, err := range ask(damaged) {
			if err != nil {
				require.ErrorIs(t, err, dmthin.ErrCorrupt)
			}
		}
	})
}

func TestSealedLoopsEnd(t *testing.T) {
	raw := dmthintest.Bytes(dmthintest.Pool{DataBlockSize: 128, LeafEntries: 2, Devices: map[dmthin.ThinID]dmthintest.Device{
		1: {Mappings: map[uint64]dmthintest.Mapping{1: {}, 2: {Data: 1}, 3: {Data: 2}, 4: {Data: 3}}},
	}})
	// Point each internal node's first child at itself.
	for n := 2; n < len(raw)/4096; n++ {
		b := raw[n*4096 : (n+1)*4096]
		if b[4] == 1 {
			b[32+8*252] = byte(n)
			dmthintest.Seal(b, 121107)
		}
	}
	found := false
	for _, err := range ask(raw) {
		found = found || err != nil
	}
	assert.True(t, found)
}

package uapi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequestNumbersAreTheKernels(t *testing.T) {
	// _IOWR(0xfd, nr, 312): two direction bits, 14 size bits, type, number.
	assert.EqualValues(t, 3<<30|HeaderSize<<16|0xfd<<8, Version.Request())
	assert.EqualValues(t, 0xC138FD0E, TargetMessage.Request())
	assert.EqualValues(t, 0xC138FD11, GetTargetVersion.Request())
}

func TestHeaderRoundTrip(t *testing.T) {
	want := Header{
		Version: [3]uint32{4, 47, 0}, DataSize: 400, DataStart: 312, TargetCount: 2, OpenCount: -1,
		Flags: FlagReadOnly | FlagDeferredRemove, EventNr: 7, Dev: 0xfd01,
		Name: strings.Repeat("n", NameLen-1), UUID: strings.Repeat("u", UUIDLen-1),
	}
	buf := make([]byte, HeaderSize)
	require.NoError(t, want.Put(buf))
	got, err := ParseHeader(buf)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestHeaderRefusesWhatTheKernelWouldCut(t *testing.T) {
	buf := make([]byte, HeaderSize)
	assert.ErrorIs(t, (&Header{Name: strings.Repeat("n", NameLen)}).Put(buf), ErrMalformed)
	assert.ErrorIs(t, (&Header{UUID: strings.Repeat("u", UUIDLen)}).Put(buf), ErrMalformed)
	assert.ErrorIs(t, (&Header{}).Put(buf[:300]), ErrMalformed)
	_, err := ParseHeader(buf[:304])
	assert.ErrorIs(t, err, ErrMalformed)
}

func TestPayloadOfAReplyThatDidNotFit(t *testing.T) {
	h := Header{DataStart: HeaderSize, DataSize: DataOffset}
	assert.Empty(t, h.Payload(make([]byte, 4096)))
	h.DataSize = 1 << 31
	assert.Len(t, h.Payload(make([]byte, 400)), 400-HeaderSize)
	h.DataStart = 10
	assert.Empty(t, h.Payload(make([]byte, 400)))
}

func TestTablesRoundTrip(t *testing.T) {
	want := []Target{{0, 8, "linear", "7:0 0"}, {8, 16, "zero", ""}, {24, 1 << 40, "thin-pool", "7:1 7:0 128 0 1 skip_block_zeroing"}}
	req, err := AppendTable(nil, want)
	require.NoError(t, err)
	got, err := ParseTable(req, 3)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	reply, err := AppendStatus(nil, want)
	require.NoError(t, err)
	got, err = ParseStatus(reply, 3)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	_, err = ParseTable(reply, 3)
	assert.Error(t, err, "next counts from different places in a request and a reply")

	_, err = AppendTable(nil, []Target{{Type: "a-name-of-16-byte"}})
	assert.ErrorIs(t, err, ErrMalformed)
	_, err = AppendTable(nil, []Target{{Type: "zero", Params: "a\x00b"}})
	assert.ErrorIs(t, err, ErrMalformed)
}

func TestListsRoundTrip(t *testing.T) {
	names := []Name{{0xfd00, "pool", 3, "VENEER-pool"}, {0xfd01, "a-longer-name", 0, ""}}
	got, err := ParseNames(AppendNames(nil, names, true), true)
	require.NoError(t, err)
	assert.Equal(t, names, got)
	got, err = ParseNames(AppendNames(nil, nil, true), true)
	require.NoError(t, err)
	assert.Empty(t, got)

	versions := []TargetVersion{{"thin", [3]uint32{1, 22, 0}}, {"thin-pool", [3]uint32{1, 22, 0}}}
	gotV, err := ParseVersions(AppendVersions(nil, versions))
	require.NoError(t, err)
	assert.Equal(t, versions, gotV)

	devs := []uint64{0x700, 0x701}
	gotD, err := ParseDeps(AppendDeps(nil, devs))
	require.NoError(t, err)
	assert.Equal(t, devs, gotD)

	msg, err := AppendMessage(nil, 5, "create_thin 1")
	require.NoError(t, err)
	sector, text, err := ParseMessage(msg)
	require.NoError(t, err)
	assert.Equal(t, "create_thin 1", text)
	assert.EqualValues(t, 5, sector)
}

func FuzzReplies(f *testing.F) {
	status, _ := AppendStatus(nil, []Target{{0, 8, "thin", "253:0 1"}, {8, 8, "zero", ""}})
	f.Add(status, uint32(2))
	f.Add(AppendNames(nil, []Name{{1, "a", 1, "u"}, {2, "b", 2, ""}}, true), uint32(0))
	f.Add(AppendVersions(nil, []TargetVersion{{"thin", [3]uint32{1, 2, 3}}}), uint32(1))
	f.Add(AppendDeps(nil, []uint64{1, 2}), uint32(9))
	f.Fuzz(func(t *testing.T, data []byte, count uint32) {
		// Whatever the bytes: an error or an answer, never a panic or a loop.
		for _, parse := range []func([]byte, uint32) ([]Target, error){ParseStatus, ParseTable} {
			if targets, err := parse(data, count); err == nil {
				again, err := AppendTable(nil, targets)
				if err == nil {
					same, err := ParseTable(again, uint32(len(targets)))
					require.NoError(t, err)
					require.Equal(t, targets, same)
				}
			}
		}
		_, _ = ParseNames(data, true)
		_, _ = ParseNames(data, false)
		_, _ = ParseVersions(data)
		_, _ = ParseDeps(data)
		_, _, _ = ParseMessage(data)
		_, _ = ParseString(data)
		if h, err := ParseHeader(data); err == nil {
			_ = h.Payload(data)
		}
	})
}

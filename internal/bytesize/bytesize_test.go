package bytesize_test

import (
	"math"
	"strings"
	"testing"

	"github.com/docker/go-units"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/internal/bytesize"
)

func TestFormat(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0B", 1023: "1023B", 1024: "1KiB", 1536: "1.5KiB", 42_400_000: "40.44MiB",
		100 << 30: "100GiB", 1 << 40: "1TiB", 1<<63 - 1: "8EiB", math.MaxUint64: "16EiB",
	} {
		assert.Equal(t, want, bytesize.Format(n))
	}

}

func TestParse(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "1048576": 1 << 20, "64KiB": 64 << 10, "64k": 64 << 10, "64 kb": 64 << 10, "10G": 10 << 30, "10gb": 10 << 30,
		"1.5G": 3 << 29, ".5M": 1 << 19, "5.M": 5 << 20, "1b": 1, "1.9": 1, "1.0001k": 1024, "2T": 2 << 40, "3P": 3 << 50, "1EiB": 1 << 60,
		"9007199254740993":    1<<53 + 1, // a float64 would lose the last bit
		"9223372036854775807": math.MaxInt64,
		"0000000001":          1,
	} {
		n, err := bytesize.Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, n, text)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "G", ".", ".G", "-1", "+1", "1X", "1 GiBs", "1Gi", "1iB", "1bb", "1,5G", "1e3", "0x10", "Inf", "NaN", "1_000", "1  G", " 1", "1G\n",
		"1\u212a", "٣", strings.Repeat("0", 200) + "1", "1." + strings.Repeat("1", 200),
	} {
		_, err := bytesize.Parse(text)
		require.ErrorIs(t, err, bytesize.ErrInvalid, text)
	}
	for _, text := range []string{"9223372036854775808", "8E", "8192P", "9999999999999E", "18446744073709551616", "18446744073709551617", "16E", "36893488147419103232"} {
		_, err := bytesize.Parse(text)
		require.ErrorIs(t, err, bytesize.ErrRange, text)
	}
}

func TestSizeIsExact(t *testing.T) {
	for n, want := range map[bytesize.Size]string{
		0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1025: "1025", 1536: "1536", 3 << 29: "1536MiB", 1 << 40: "1TiB", 7 << 60: "7EiB", math.MaxInt64: "9223372036854775807",
	} {
		assert.Equal(t, want, n.String())
		text, err := n.MarshalText()
		require.NoError(t, err)
		var back bytesize.Size
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, n, back)
	}
}

func TestARefusedTextChangesNothing(t *testing.T) {
	s := bytesize.Size(7)
	require.Error(t, s.Set("x"))
	assert.EqualValues(t, 7, s)
}

// FuzzParse compares with the library that operators know the syntax from, as far as
// its float64 is exact, and reads back what is printed.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"64KiB", "1.5G", "10 GB", "1048576", "8E", "1e3", ".5M", "-0", "\u212a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := bytesize.Parse(text)
		if err != nil {
			return
		}
		var back bytesize.Size
		require.NoError(t, back.Set(bytesize.Size(n).String()))
		require.EqualValues(t, n, back)
		theirs, err := units.RAMInBytes(text)
		if err == nil && n < 1<<50 && len(text) < 16 {
			require.InDelta(t, theirs, n, 1, text) // a fraction of theirs may be rounded
		}
	})
}

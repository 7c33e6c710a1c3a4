package dmthin_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

func TestThinIDsAre24Bits(t *testing.T) {
	assert.EqualValues(t, 16_777_215, dmthin.MaxThinID)
	for text, want := range map[string]bool{
		"0": true, "1": true, "16777215": true,
		"16777216": false, "4294967295": false, "4294967296": false, "18446744073709551616": false,
		"": false, "-1": false, "+1": false, "0x10": false, " 1": false, "one": false,
	} {
		id, err := dmthin.ParseThinID(text)
		assert.Equal(t, want, err == nil, "%q: %v", text, err)
		if want {
			assert.Equal(t, text, id.String())
			assert.True(t, id.Valid())
		}
	}
	assert.False(t, dmthin.ThinID(1<<24).Valid())
}

func TestMetaBlocksInBytes(t *testing.T) {
	assert.EqualValues(t, 3*4096, dmthin.MetaBlocks(3).Bytes())
}

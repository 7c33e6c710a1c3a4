package thinpool_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// What belongs to a pool is told by exact parsing: pool names may end in what looks
// like the name of a thin device.
func TestNamesAreParsedExactly(t *testing.T) {
	for _, c := range []struct {
		pool, name string
		id         dmthin.ThinID
		ok         bool
	}{
		{"a", "a-thin-0", 0, true},
		{"a", "a-thin-7", 7, true},
		{"a", "a-thin-16777215", dmthin.MaxThinID, true},
		{"a-thin-7", "a-thin-7-thin-3", 3, true},
		{"a-thin", "a-thin-thin-3", 3, true},
		{"a", "a-thin-7-thin-3", 0, false},
		{"a", "a-thin-16777216", 0, false},
		{"a", "a-thin-99999999999999999999", 0, false},
		{"a", "a-thin-07", 0, false},
		{"a", "a-thin-+7", 0, false},
		{"a", "a-thin--7", 0, false},
		{"a", "a-thin-7 ", 0, false},
		{"a", "a-thin-7x", 0, false},
		{"a", "a-thin-", 0, false},
		{"a", "a-thin", 0, false},
		{"a", "a", 0, false},
		{"a", "", 0, false},
		{"a", "b-thin-7", 0, false},
		{"a", "aa-thin-7", 0, false},
		{"aa", "a-thin-7", 0, false},
		{"a", "A-thin-7", 0, false},
	} {
		id, ok := thinpool.ParseThinName(c.pool, c.name)
		assert.Equal(t, c.ok, ok, "%q of pool %q", c.name, c.pool)
		assert.Equal(t, c.id, id, "%q of pool %q", c.name, c.pool)
		if ok {
			assert.Equal(t, c.name, thinpool.ThinName(c.pool, id), "one id has one name")
		}
	}
}

func TestUUIDsAreParsedExactly(t *testing.T) {
	for _, c := range []struct {
		pool, uuid string
		id         dmthin.ThinID
		ok         bool
	}{
		{"a", "VENEER-a-7", 7, true},
		{"a", "VENEER-a-0", 0, true},
		{"a", "VENEER-a-16777215", dmthin.MaxThinID, true},
		{"a-7", "VENEER-a-7-3", 3, true},
		{"a-thin-7", "VENEER-a-thin-7-3", 3, true},
		{"a", "VENEER-a-7-3", 0, false},
		{"a", "VENEER-a-thin-7-3", 0, false},
		{"a", "VENEER-a-thin-7-pool", 0, false},
		{"a", "VENEER-a-pool", 0, false},
		{"a", "VENEER-a-07", 0, false},
		{"a", "VENEER-a-16777216", 0, false},
		{"a", "VENEER-a-", 0, false},
		{"a", "VENEER-a", 0, false},
		{"a", "VENEER-", 0, false},
		{"a", "", 0, false},
		{"a", "LVM-a-7", 0, false},
		{"a", "xVENEER-a-7", 0, false},
		{"a", "VENEER-b-7", 0, false},
	} {
		id, ok := thinpool.ParseThinUUID(c.pool, c.uuid)
		assert.Equal(t, c.ok, ok, "%q of pool %q", c.uuid, c.pool)
		assert.Equal(t, c.id, id, "%q of pool %q", c.uuid, c.pool)
	}
	assert.True(t, thinpool.IsPoolUUID("a", "VENEER-a-pool"))
	assert.True(t, thinpool.IsPoolUUID("a-thin-7", "VENEER-a-thin-7-pool"))
	for _, uuid := range []string{"VENEER-a-thin-7-pool", "VENEER-a-7-pool", "VENEER-a-pool-pool", "VENEER-a-pool-3", "VENEER-a-7", "VENEER-a", "", "VENEER-a-poolx", "xVENEER-a-pool"} {
		assert.False(t, thinpool.IsPoolUUID("a", uuid), uuid)
	}
}

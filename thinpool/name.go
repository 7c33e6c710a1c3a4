package thinpool

import (
	"strings"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// The names and UUIDs of a pool's devices. A pool's own device is called like the pool.
// A pool's name may itself look like that of a thin device, as "a-thin-7" does; so a name
// or UUID is compared whole, and never by how it begins.
const (
	thinInfix  = "-thin-" // between the pool's name and a thin id
	poolSuffix = "-pool"
)

// UUIDPrefix begins the UUID of every device of ours, whatever its pool.
const UUIDPrefix = "VENEER-"

func poolUUID(pool string) string { return UUIDPrefix + pool + poolSuffix }

func thinUUIDPrefix(pool string) string { return UUIDPrefix + pool + "-" }

func thinUUID(pool string, id dmthin.ThinID) string { return thinUUIDPrefix(pool) + id.String() }

// ThinName is the device-mapper name of a pool's thin device.
func ThinName(pool string, id dmthin.ThinID) string { return pool + thinInfix + id.String() }

// ParseThinName gives the id of the thin device that has that device-mapper name in a
// pool. It is false for a name that ThinName does not make for that pool. Another pool's
// own device may have such a name: only the UUID says whose a device is.
func ParseThinName(pool, name string) (dmthin.ThinID, bool) {
	return parseID(pool+thinInfix, name)
}

// ParseThinUUID gives the id of a pool's thin device whose device-mapper UUID that is. It
// is false for every other UUID. No UUID belongs to thin devices of two pools: the id is
// what follows the last dash.
func ParseThinUUID(pool, uuid string) (dmthin.ThinID, bool) {
	return parseID(thinUUIDPrefix(pool), uuid)
}

// IsPoolUUID reports whether that is the device-mapper UUID of a pool's own device.
func IsPoolUUID(pool, uuid string) bool { return uuid == poolUUID(pool) }

// parseID reads an id behind a prefix, in the one way in which an id is printed.
func parseID(prefix, s string) (dmthin.ThinID, bool) {
	digits, found := strings.CutPrefix(s, prefix)
	id, err := dmthin.ParseThinID(digits)
	if !found || err != nil || id.String() != digits {
		return 0, false
	}
	return id, true
}

package devmapper

import "fmt"

// Sectors counts 512-byte sectors, the device-mapper's unit for every address and
// length, whatever the device's own block size.
type Sectors uint64

// SectorSize is the size of a sector in bytes.
const SectorSize = 512

// Bytes is the size of n sectors in bytes.
func (n Sectors) Bytes() uint64 { return uint64(n) * SectorSize }

// SectorsFromBytes converts a size that must be whole sectors.
func SectorsFromBytes(bytes uint64) (Sectors, error) {
	if bytes%SectorSize != 0 {
		return 0, fmt.Errorf("%w: %d bytes are not whole sectors of %d", ErrInvalid, bytes, SectorSize)
	}
	return Sectors(bytes / SectorSize), nil
}

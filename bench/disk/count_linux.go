package disk

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/devmapper"
)

// addCount adds what the kernel has counted for a block device. Sectors are of 512
// bytes whatever the device's own are.
func addCount(total *bench.IO, device string) error {
	path := "/sys/block/" + device + "/stat"
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read what the block layer counted: %w", err)
	}
	var n []uint64
	for word := range strings.FieldsSeq(string(data)) {
		v, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		n = append(n, v)
	}
	if len(n) < 11 {
		return fmt.Errorf("%s has %d numbers, and at least 11 are expected", path, len(n))
	}
	total.Reads += n[0]
	total.ReadBytes += n[2] * devmapper.SectorSize
	total.Writes += n[4]
	total.WrittenBytes += n[6] * devmapper.SectorSize
	if len(n) > 15 { // since Linux 5.5
		total.Flushes += n[15]
	}
	return nil
}

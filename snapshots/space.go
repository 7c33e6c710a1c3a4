package snapshots

import (
	"fmt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Admission is the space below which nothing new is made. Removing always works.
type Admission struct {
	// MinFreeData is the part of the data blocks, in percent, that must be free.
	MinFreeData float64
	// MinFreeMetadata is the part of the metadata blocks, in percent, that must be
	// free: a pool whose metadata is full cannot even delete.
	MinFreeMetadata float64
}

// DefaultAdmission keeps what a pool needs to be cleaned up again.
var DefaultAdmission = Admission{MinFreeData: 1, MinFreeMetadata: 5}

// clockReserve is how many snapshots before the end of the pool's 24-bit clock the
// driver stops: the kernel would go on and corrupt the pool.
const clockReserve = 1 << 16

// admit refuses new snapshots while there is too little space. It uses what the
// pool said last, so that it costs nothing.
func (d *Driver) admit() error {
	if t := d.clock.Load(); t > dmthin.MaxTime-clockReserve {
		return fmt.Errorf("%w: %d snapshots were made in this pool, near the kernel's limit of 2^24; move to a new pool", ErrPoolState, t)
	}
	w, err := d.pool.Last()
	if err != nil {
		return err
	}
	if err := w.Writable(); err != nil {
		// It may have been repaired or grown since.
		if w, err = d.pool.Working(); err != nil {
			return err
		}
		if err := w.Writable(); err != nil {
			return err
		}
	}
	low := func(free, total, percent float64) bool { return total > 0 && free < total*percent/100 }
	a := d.config.Admit
	if low(float64(w.TotalData-w.UsedData), float64(w.TotalData), a.MinFreeData) {
		return fmt.Errorf("%w: %d of %d data blocks are used; grow the pool or remove something", ErrNoSpace, w.UsedData, w.TotalData)
	}
	if low(float64(w.TotalMeta-w.UsedMeta), float64(w.TotalMeta), a.MinFreeMetadata) {
		return fmt.Errorf("%w: %d of %d metadata blocks are used; grow the pool's metadata or remove something", ErrNoSpace, w.UsedMeta, w.TotalMeta)
	}
	return nil
}

package scenario

import (
	"errors"

	"github.com/veneerdm/veneer/snapshots"
)

// refusedNew tells whether Veneer refused to begin, for want of space.
func refusedNew(err error) bool {
	return errors.Is(err, snapshots.ErrNoSpace) || errors.Is(err, snapshots.ErrPoolState)
}

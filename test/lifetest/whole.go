package lifetest

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/snapshots"
)

// Whole says what is wrong with a store that nobody works on: space that does not come
// back, thin devices that nobody knows, or what the catalog and the pool's metadata
// themselves say.
func Whole(ctx context.Context, d *snapshots.Driver) error {
	if err := d.Drain(ctx); err != nil {
		return err
	}
	i, err := d.Pool(ctx)
	if err != nil {
		return err
	}
	if i.Trash != 0 || len(i.Unknown) != 0 {
		return fmt.Errorf("%d thin devices are left in the trash and %v belong to nobody", i.Trash, i.Unknown)
	}
	_, err = d.Check(ctx)
	return err
}

package snapstest

import (
	"context"

	"github.com/veneerdm/veneer/snapshots"
)

func collect(all *[]snapshots.Info) func(context.Context, snapshots.Info) error {
	return func(_ context.Context, i snapshots.Info) error {
		*all = append(*all, i)
		return nil
	}
}

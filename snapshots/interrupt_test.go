package snapshots_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/snapshots"
)

// A start, and an examination, that are interrupted at each of their ioctls: they end with
// the context's error, or had nothing left to do, and give the store back as it can be
// opened by the next.
func TestAnInterruptedStart(t *testing.T) {
	for name, run := range map[string]func(context.Context, *faulty) error{
		"open": func(ctx context.Context, f *faulty) error {
			d, err := snapshots.Open(ctx, f.config())
			if err == nil {
				err = d.Close()
			}
			return err
		},
		"examine": func(ctx context.Context, f *faulty) error {
			_, err := snapshots.Examine(ctx, f.config(), true)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			interrupted := 0
			for at := int32(0); ; at++ {
				require.Less(t, at, int32(300))
				f, _ := storeWith(t, lifecycle.Observed{State: lifecycle.Creating, InPool: true, Device: lifecycle.Suspended})
				ctx, cancel := context.WithCancel(t.Context())
				var calls atomic.Int32
				f.m.Kernel.Inject(func(dmtest.Call) error {
					if calls.Add(1)-1 == at {
						cancel()
					}
					return nil
				})
				err := run(ctx, f)
				f.m.Kernel.Inject(nil)
				cancel()
				if err != nil {
					require.ErrorIs(t, err, context.Canceled, "at call %d", at)
					interrupted++
				}
				f.others(lifecycle.Observed{State: lifecycle.Creating})
				if calls.Load() <= at {
					break
				}
			}
			require.Positive(t, interrupted, "nothing was interrupted")
		})
	}
}

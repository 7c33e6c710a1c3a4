package snapshots_test

import (
	"testing"

	"github.com/veneerdm/veneer/snapshots/snapstest"
)

func TestConformanceOnTheFake(t *testing.T) {
	snapstest.Run(t, func(t *testing.T) snapstest.Machine { return snapstest.NewFake(t) })
}

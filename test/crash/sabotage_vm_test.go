//go:build sabotage

package crash_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/test/resulttest"
)

// The negative controls: a driver that breaks the protocol has to be caught, or the
// test above proves nothing.
func TestPowerCutsWouldBeNoticed(t *testing.T) {
	row, end := resulttest.Begin(t, "power cut, broken on purpose", *seed)
	defer end()
	for _, control := range []struct {
		name     string
		sabotage func(*metadata.Options)
	}{
		{"the catalog's fsync dropped", func(o *metadata.Options) { o.NoSync = true }},
		{"the trash skipped", func(o *metadata.Options) { o.Sabotage.SkipTrash = true }},
		{"steps 1 and 2 exchanged", func(o *metadata.Options) { o.Sabotage.LateRecords = true }},
	} {
		t.Run(control.name, func(t *testing.T) {
			r := newRig(t)
			p := r.play(trial{filesystem: "ext4", sabotage: control.sabotage, points: 150, rounds: 20, enough: 1})
			row.Controls++
			row.Points += p.points
			require.NotEmpty(t, p.violations)
			row.Caught++
			t.Logf("for instance: %s", p.violations[0])
		})
	}
}

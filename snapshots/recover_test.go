package snapshots

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Every combination of what the three sources can say has one action. The table is
// written out so that a change of decide shows as a change of a row.
func TestStartUpTable(t *testing.T) {
	rows := []struct {
		owner  owner
		inPool bool
		live   liveness
		viewed bool
		want   action
	}{
		{ofCreating, true, dead, false, keep},
		{ofCreating, true, running, false, keep},
		{ofCreating, true, suspended, false, resume},
		{ofCreating, false, dead, false, rollBack},
		{ofCreating, false, running, false, refuse},
		{ofCreating, false, suspended, false, refuse},
		{ofActive, true, dead, false, keep},
		{ofActive, true, running, false, keep},
		{ofActive, true, suspended, false, resume},
		{ofActive, false, dead, false, refuse},
		{ofActive, false, running, false, refuse},
		{ofActive, false, suspended, false, refuse},
		{ofCommitted, true, dead, false, keep},
		{ofCommitted, true, dead, true, keep},
		{ofCommitted, true, running, false, deactivate},
		{ofCommitted, true, running, true, keep},
		{ofCommitted, true, suspended, false, deactivate},
		{ofCommitted, true, suspended, true, resume},
		{ofCommitted, false, dead, false, refuse},
		{ofCommitted, false, running, true, refuse},
		{ofCommitted, false, suspended, false, refuse},
		{ofTemplate, true, dead, false, keep},
		{ofTemplate, true, running, false, deactivate},
		{ofTemplate, true, running, true, keep},
		{ofTemplate, true, suspended, false, deactivate},
		{ofTemplate, true, suspended, true, resume},
		{ofTemplate, false, dead, false, refuse},
		{ofTrash, true, dead, false, keep},
		{ofTrash, true, running, false, keep},
		{ofTrash, true, suspended, false, keep}, // the reaper resumes it
		{ofTrash, false, dead, false, forget},
		{ofTrash, false, running, false, refuse},
		{ofNobody, true, dead, false, report},
		{ofNobody, true, running, false, report},
		{ofNobody, true, suspended, false, report},
		{ofNobody, false, dead, false, keep},
		{ofNobody, false, running, false, refuse},
	}
	for _, r := range rows {
		got := decide(r.owner, r.inPool, r.live, r.viewed)
		assert.Equal(t, r.want, got, "%s, in pool %t, %s, viewed %t", r.owner, r.inPool, r.live, r.viewed)
	}
}

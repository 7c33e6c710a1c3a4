package lifecycle_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/lifecycle"
)

// settle carries out the actions of a row, those of a person too.
func settle(o lifecycle.Observed) lifecycle.Observed {
	for _, a := range lifecycle.Decide(o).Actions {
		o = a.Apply(o)
	}
	return o
}

func TestWhateverIsObservedIsSettledByOneRow(t *testing.T) {
	all := lifecycle.All()
	require.Greater(t, len(all), 100)
	for _, o := range all {
		after := settle(o)
		if !after.Possible() {
			continue // it is gone
		}
		assert.Empty(t, lifecycle.Decide(after).Actions, "%s becomes %s", o, after)
		assert.NotEqual(t, lifecycle.Creating, after.State, "%s: nobody is left who would answer", o)
		assert.NotEqual(t, lifecycle.Reserved, after.State, "%s: nobody is left who would use it", o)
		if after.State != lifecycle.Trash {
			assert.NotEqual(t, lifecycle.Suspended, after.Device, "%s: I/O would wait for ever", o)
			assert.NotEqual(t, lifecycle.NoTable, after.Device, o)
		}
		if !after.InPool && after.State != lifecycle.Trash {
			assert.Equal(t, lifecycle.Lost, after.State, o)
			assert.Equal(t, lifecycle.NoDevice, after.Device, o)
		}
	}
}

func TestRowsAreAllThatCanBeObserved(t *testing.T) {
	seen := map[lifecycle.Observed]bool{}
	for _, r := range lifecycle.Rows() {
		assert.False(t, seen[r.Observed], r.Observed)
		seen[r.Observed] = true
		assert.Equal(t, lifecycle.Decide(r.Observed), r)
	}
	for _, state := range lifecycle.States {
		for _, inPool := range []bool{false, true} {
			for _, device := range lifecycle.Devices {
				o := lifecycle.Observed{State: state, InPool: inPool, Device: device}
				assert.Equal(t, state != lifecycle.Unrecorded || inPool || device != lifecycle.NoDevice, seen[o], o)
			}
		}
	}
	assert.False(t, lifecycle.Observed{State: lifecycle.Active, Viewed: true}.Possible(), "what changes is not viewed")
}

func TestNothingOfAUsersIsDeletedByARow(t *testing.T) {
	for _, r := range lifecycle.Rows() {
		if !r.InPool {
			continue
		}
		switch after := settle(r.Observed); r.State {
		case lifecycle.Unrecorded:
			assert.Equal(t, lifecycle.Active, after.State, r)
			assert.False(t, lifecycle.Adopt.AtStart(), "a start adopts nothing by itself")
		case lifecycle.Reserved:
			if r.Older {
				assert.Equal(t, lifecycle.Active, after.State, "somebody's by now: %s", r)
			} else {
				assert.Equal(t, lifecycle.Trash, after.State, r)
			}
		case lifecycle.Trash:
			assert.Equal(t, lifecycle.Trash, after.State, r)
		default:
			assert.NotEqual(t, lifecycle.Trash, after.State, r)
			assert.True(t, after.Possible(), r)
		}
	}
}

func TestOnlyAnAdoptionWaitsForAPerson(t *testing.T) {
	for _, a := range lifecycle.Actions {
		assert.Equal(t, a != lifecycle.Adopt, a.AtStart(), a)
	}
}

// Each action on its own: a table that does nothing would settle nothing.
func TestDecide(t *testing.T) {
	type O = lifecycle.Observed
	none, noTable, running, suspended := lifecycle.NoDevice, lifecycle.NoTable, lifecycle.Running, lifecycle.Suspended
	for _, c := range []struct {
		o    O
		want []lifecycle.Action
	}{
		{O{lifecycle.Creating, false, none, false, false}, []lifecycle.Action{lifecycle.DropRecord}},
		{O{lifecycle.Creating, true, none, false, false}, []lifecycle.Action{lifecycle.Acknowledge}},
		{O{lifecycle.Creating, true, noTable, false, false}, []lifecycle.Action{lifecycle.RemoveDevice, lifecycle.Acknowledge}},
		{O{lifecycle.Creating, true, running, false, false}, []lifecycle.Action{lifecycle.Acknowledge}},
		{O{lifecycle.Creating, true, suspended, false, false}, []lifecycle.Action{lifecycle.Resume, lifecycle.Acknowledge}},
		{O{lifecycle.Active, true, running, false, false}, nil},
		{O{lifecycle.Active, true, none, false, false}, nil},
		{O{lifecycle.Active, true, suspended, false, false}, []lifecycle.Action{lifecycle.Resume}},
		{O{lifecycle.Active, true, noTable, false, false}, []lifecycle.Action{lifecycle.RemoveDevice}},
		{O{lifecycle.Active, false, none, false, false}, []lifecycle.Action{lifecycle.MarkLost}},
		{O{lifecycle.Active, false, running, false, false}, []lifecycle.Action{lifecycle.RemoveDevice, lifecycle.MarkLost}},
		{O{lifecycle.Committed, true, running, false, false}, []lifecycle.Action{lifecycle.RemoveDevice}},
		{O{lifecycle.Committed, true, running, true, false}, nil},
		{O{lifecycle.Committed, true, suspended, true, false}, []lifecycle.Action{lifecycle.Resume}},
		{O{lifecycle.Committed, true, suspended, false, false}, []lifecycle.Action{lifecycle.RemoveDevice}},
		{O{lifecycle.Committed, false, none, true, false}, []lifecycle.Action{lifecycle.MarkLost}},
		{O{lifecycle.Template, false, none, false, false}, []lifecycle.Action{lifecycle.DropTemplate}},
		{O{lifecycle.Template, true, running, false, false}, []lifecycle.Action{lifecycle.RemoveDevice}},
		{O{lifecycle.Lost, false, none, false, false}, nil},
		{O{lifecycle.Lost, false, suspended, true, false}, []lifecycle.Action{lifecycle.RemoveDevice}},
		{O{lifecycle.Lost, true, none, false, false}, []lifecycle.Action{lifecycle.MarkFound}},
		{O{lifecycle.Lost, true, running, false, false}, []lifecycle.Action{lifecycle.RemoveDevice, lifecycle.MarkFound}},
		{O{lifecycle.Lost, true, suspended, true, false}, []lifecycle.Action{lifecycle.Resume, lifecycle.MarkFound}},
		{O{lifecycle.Trash, false, none, false, false}, []lifecycle.Action{lifecycle.Forget}},
		{O{lifecycle.Trash, false, noTable, false, false}, []lifecycle.Action{lifecycle.RemoveDevice, lifecycle.Forget}},
		{O{lifecycle.Trash, true, suspended, false, false}, nil},
		{O{lifecycle.Trash, true, noTable, false, true}, nil},
		{O{lifecycle.Reserved, false, none, false, true}, []lifecycle.Action{lifecycle.Forget}},
		{O{lifecycle.Reserved, true, noTable, false, false}, []lifecycle.Action{lifecycle.Release}},
		{O{lifecycle.Reserved, true, noTable, false, true}, []lifecycle.Action{lifecycle.RemoveDevice, lifecycle.Adopt}},
		{O{lifecycle.Reserved, true, running, false, true}, []lifecycle.Action{lifecycle.Adopt}},
		{O{lifecycle.Unrecorded, true, none, false, false}, []lifecycle.Action{lifecycle.Adopt}},
		{O{lifecycle.Unrecorded, true, suspended, false, false}, []lifecycle.Action{lifecycle.Resume, lifecycle.Adopt}},
		{O{lifecycle.Unrecorded, false, running, false, false}, []lifecycle.Action{lifecycle.RemoveDevice}},
	} {
		assert.Equal(t, c.want, lifecycle.Decide(c.o).Actions, c.o)
	}
}

func TestEveryCrashOfEveryTransitionHasARowThatEndsIt(t *testing.T) {
	points := 0
	for _, tr := range lifecycle.Transitions() {
		if tr.Name == "adopt" || tr.Name == "adopt a reserved one" {
			continue // it begins with what is no crash's
		}
		for _, c := range tr.Crashes() {
			points++
			after := settle(c.Leaves)
			row := lifecycle.Decide(c.Leaves)
			assert.False(t, row.Needs(lifecycle.Adopt), "%s: a crash after step %d leaves what nobody knows", tr.Name, c.After)
			ends := []lifecycle.State{tr.From, tr.To, lifecycle.Trash}
			if !after.Possible() {
				after.State = lifecycle.Unrecorded
			}
			switch tr.From { // what nobody waits for any more ends
			case lifecycle.Creating:
				ends = append(ends, lifecycle.Active, lifecycle.Unrecorded)
			case lifecycle.Active, lifecycle.Committed, lifecycle.Template:
				if !c.Leaves.InPool {
					ends = append(ends, lifecycle.Lost, lifecycle.Unrecorded)
				}
			}
			if tr.From == lifecycle.Lost {
				ends = append(ends, lifecycle.Active, lifecycle.Committed)
			}
			if tr.To == lifecycle.Trash && !c.Leaves.InPool {
				ends = append(ends, lifecycle.Unrecorded) // there is nothing to delete
			}
			assert.Contains(t, ends, after.State, "%s, after step %d: %s", tr.Name, c.After, c.Leaves)
			if after.Possible() && after.State != lifecycle.Trash {
				assert.Equal(t, after.State != lifecycle.Lost, after.InPool, "%s, after step %d", tr.Name, c.After)
			}
		}
	}
	require.Greater(t, points, 100)
}

func TestTransitionsEndWhereTheySay(t *testing.T) {
	names := map[string]bool{}
	for _, tr := range lifecycle.Transitions() {
		assert.False(t, names[tr.Name], tr.Name)
		names[tr.Name] = true
		o := tr.Begins
		o.State = tr.From
		for _, s := range tr.Steps {
			assert.NotEmpty(t, s.Name)
			o = s.Apply(o)
		}
		assert.Equal(t, tr.To, o.State, tr.Name)
		if o.Possible() {
			assert.NotEqual(t, lifecycle.Suspended, o.Device, tr.Name)
			assert.NotEqual(t, lifecycle.NoTable, o.Device, tr.Name)
		}
		crashes := tr.Crashes()
		for i := 1; i < len(crashes); i++ {
			assert.Less(t, crashes[i-1].After, crashes[i].After)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range [][2]lifecycle.State{
		{lifecycle.Unrecorded, lifecycle.Creating}, {lifecycle.Creating, lifecycle.Active}, {lifecycle.Unrecorded, lifecycle.Reserved},
		{lifecycle.Reserved, lifecycle.Active}, {lifecycle.Reserved, lifecycle.Committed}, {lifecycle.Reserved, lifecycle.Template},
		{lifecycle.Reserved, lifecycle.Trash}, {lifecycle.Active, lifecycle.Committed}, {lifecycle.Active, lifecycle.Trash},
		{lifecycle.Committed, lifecycle.Trash}, {lifecycle.Committed, lifecycle.Lost}, {lifecycle.Lost, lifecycle.Active},
		{lifecycle.Lost, lifecycle.Committed}, {lifecycle.Lost, lifecycle.Trash}, {lifecycle.Trash, lifecycle.Unrecorded},
		{lifecycle.Template, lifecycle.Trash}, {lifecycle.Unrecorded, lifecycle.Active},
	} {
		assert.True(t, lifecycle.Allowed(c[0], c[1]), c)
	}
	for _, c := range [][2]lifecycle.State{
		{lifecycle.Committed, lifecycle.Active}, {lifecycle.Trash, lifecycle.Active}, {lifecycle.Trash, lifecycle.Committed},
		{lifecycle.Unrecorded, lifecycle.Trash}, {lifecycle.Active, lifecycle.Unrecorded}, {lifecycle.Committed, lifecycle.Unrecorded},
		{lifecycle.Creating, lifecycle.Committed}, {lifecycle.Template, lifecycle.Active}, {lifecycle.Active, lifecycle.Reserved},
		{lifecycle.Creating, lifecycle.Lost},
	} {
		assert.False(t, lifecycle.Allowed(c[0], c[1]), c)
	}
}

func TestCauses(t *testing.T) {
	half := lifecycle.Observed{State: lifecycle.Creating, InPool: true, Device: lifecycle.NoTable}
	assert.Equal(t, []string{"prepare, clone"}, lifecycle.Causes(half))
	assert.Empty(t, lifecycle.Causes(lifecycle.Observed{State: lifecycle.Committed, Device: lifecycle.Running}))
	recorded := lifecycle.Observed{State: lifecycle.Creating, Device: lifecycle.NoDevice}
	assert.Equal(t, []string{"prepare, clone"}, lifecycle.Causes(recorded), "the first step is one, too")
	frozen := lifecycle.Observed{State: lifecycle.Active, InPool: true, Device: lifecycle.Suspended}
	assert.True(t, slices.Contains(lifecycle.Causes(frozen), "clone, commit, roll back: the origin"))
	assert.NotContains(t, lifecycle.Causes(lifecycle.Observed{State: lifecycle.Trash, InPool: true, Device: lifecycle.Running}), "remove",
		"what stands after the last step is no crash's")
}

func TestWords(t *testing.T) {
	o := lifecycle.Observed{State: lifecycle.Committed, Device: lifecycle.Suspended}
	assert.Equal(t, "committed, the pool does not have it, its device is suspended", o.String())
	o = lifecycle.Observed{State: lifecycle.Lost, InPool: true, Device: lifecycle.NoDevice}
	assert.Equal(t, "lost, the pool has it, it has no device", o.String())
	assert.Equal(t, "mark it found", lifecycle.Decide(o).Cure())
	o = lifecycle.Observed{State: lifecycle.Trash, Device: lifecycle.NoTable}
	assert.Equal(t, "remove the device, then drop the entry: there is nothing to delete", lifecycle.Decide(o).Cure())
	assert.Empty(t, lifecycle.Decide(lifecycle.Observed{State: lifecycle.Active, InPool: true, Device: lifecycle.Running}).Cure())
}

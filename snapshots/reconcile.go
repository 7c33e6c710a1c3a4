package snapshots

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// reconcile carries out what package lifecycle says of every thin id, as far as a start
// does it by itself. What goes wrong with the device of one is logged, and the others are
// served; without the catalog nothing is.
func (d *Driver) reconcile(ctx context.Context) error {
	all, err := d.observe(ctx)
	if err != nil {
		return fmt.Errorf("compare the catalog with the pool: %w", class.Ensure(err))
	}
	if err := notOurs(all); err != nil {
		return err
	}
	done, err := d.carryOut(ctx, all, lifecycle.Action.AtStart)
	for _, o := range done {
		d.logOutcome(o)
	}
	if err == nil {
		d.sweepNodes()
	}
	return err
}

// notOurs refuses a pool that has none of what the catalog knows: it is another one, on
// whose thin devices the catalog's trash must not be tried.
func notOurs(all []thin) error {
	snapshots := 0
	for _, t := range all {
		switch t.Observed.State {
		case lifecycle.Active, lifecycle.Committed:
			snapshots++
		case lifecycle.Creating, lifecycle.Template:
		default:
			continue
		}
		if t.InPool {
			return nil
		}
	}
	if snapshots == 0 {
		return nil
	}
	return fmt.Errorf("%w: the pool has none of the %d snapshots that the catalog knows, so it is another pool, or its metadata was replaced; put the right disks back, or see \"veneer doctor\"", ErrInconsistent, snapshots)
}

// outcome is what became of the row of one thin id.
type outcome struct {
	thin
	row lifecycle.Row
	err error // of an action that failed; those after it were not tried
}

// done says that all actions of the row were carried out.
func (o outcome) done(wanted func(lifecycle.Action) bool) bool {
	return o.err == nil && !slices.ContainsFunc(o.row.Actions, func(a lifecycle.Action) bool { return !wanted(a) })
}

// carryOut carries out those actions that are wanted: on devices one by one, on records in
// one transaction for each kind. It gives the outcome for each id that needs any, with the
// error of what failed; an error of its own says that nothing can be recorded any more.
func (d *Driver) carryOut(ctx context.Context, all []thin, wanted func(lifecycle.Action) bool) ([]outcome, error) {
	var outcomes []outcome
	for _, t := range all {
		if row := lifecycle.Decide(t.Observed); len(row.Actions) > 0 {
			outcomes = append(outcomes, outcome{thin: t, row: row})
		}
	}
	for i := range outcomes {
		if err := ctx.Err(); err != nil {
			return outcomes, err
		}
		o := &outcomes[i]
		for _, a := range o.row.Actions {
			if o.err == nil && wanted(a) {
				o.err = d.actOnDevice(o.ID, a)
			}
		}
	}
	older := slices.ContainsFunc(all, func(t thin) bool { return t.Older })
	for _, a := range lifecycle.Actions {
		var these []*outcome
		for i := range outcomes {
			if o := &outcomes[i]; o.err == nil && o.row.Needs(a) {
				these = append(these, o)
			}
		}
		if len(these) == 0 || !wanted(a) {
			continue
		}
		if a == lifecycle.Adopt {
			d.catalog.SetClock(d.clock.Load())
		}
		err := d.actOnRecords(ctx, a, these)
		if err == nil {
			continue
		}
		for _, o := range these {
			o.err = errors.Join(o.err, fmt.Errorf("%s: %w", a, class.Ensure(err)))
		}
		if err := errors.Join(ctx.Err(), d.catalog.Err()); err != nil {
			return outcomes, class.Ensure(err)
		}
		if a == lifecycle.DropRecord {
			for _, o := range these {
				d.leftovers.add(o.Snapshot)
			}
		}
	}
	d.unknown = nil
	for i := range outcomes {
		if o := &outcomes[i]; o.row.Needs(lifecycle.Adopt) && !o.done(wanted) {
			d.unknown = append(d.unknown, o.ID)
		}
	}
	d.catalog.SkipThins(d.unknown)
	if !older || len(d.unknown) == 0 {
		d.catalog.SetClock(d.clock.Load())
	}
	if !wanted(lifecycle.Acknowledge) {
		return outcomes, nil
	}
	return outcomes, d.settleViews()
}

// settleViews acknowledges views whose maker died: they own nothing, and mounting one
// makes what is missing.
func (d *Driver) settleViews() error {
	inFlight, err := d.catalog.InFlight()
	for _, s := range inFlight {
		if s.Kind == metadata.View {
			d.catalog.Acknowledge(s)
		}
	}
	return class.Ensure(err)
}

// actOnDevice carries out an action on the device of a thin id. Actions on records are
// not its.
func (d *Driver) actOnDevice(id dmthin.ThinID, a lifecycle.Action) error {
	switch a {
	case lifecycle.RemoveDevice:
		_, err := d.pool.DeactivateThinDeferred(id)
		return err
	case lifecycle.Resume:
		return d.pool.ResumeThin(id)
	}
	return nil
}

// actOnRecords carries out one action on the records of several thin ids.
func (d *Driver) actOnRecords(ctx context.Context, a lifecycle.Action, these []*outcome) error {
	ids := make([]dmthin.ThinID, len(these))
	records := make([]metadata.Snapshot, len(these))
	for i, o := range these {
		ids[i], records[i] = o.ID, o.Snapshot
	}
	switch a {
	case lifecycle.Acknowledge:
		for _, s := range records {
			d.catalog.Acknowledge(s)
		}
	case lifecycle.DropRecord:
		for _, s := range records {
			if _, err := d.catalog.Remove(s); err != nil {
				return err
			}
		}
		return d.catalog.Forget(ids...)
	case lifecycle.Forget:
		return d.catalog.Forget(ids...)
	case lifecycle.Release:
		return d.catalog.Release(ids...)
	case lifecycle.MarkLost:
		return d.catalog.MarkLost(records...)
	case lifecycle.MarkFound:
		return d.catalog.MarkFound(records...)
	case lifecycle.DropTemplate:
		for _, o := range these {
			if err := d.catalog.RemoveTemplate(o.Name); err != nil {
				return err
			}
		}
		return d.catalog.Forget(ids...)
	case lifecycle.Adopt:
		return d.adopt(ctx, these)
	}
	return nil
}

// logOutcome tells what a start found, but for what every crash leaves and costs nobody
// anything.
func (d *Driver) logOutcome(o outcome) {
	log := d.log.WithField("thin", o.ID)
	if o.Name != "" {
		log = log.WithField("name", o.Name)
	}
	switch {
	case o.err != nil:
		log.WithError(o.err).WithField("cure", o.row.Cure()).Error("thin device is not as it should be, and could not be mended")
	case o.row.Needs(lifecycle.MarkLost):
		log.Error("the pool has lost the thin device of a snapshot; it is marked lost, and everything else is served")
	case o.row.Needs(lifecycle.MarkFound):
		log.Warn("the pool has the thin device of a lost snapshot again")
	case o.row.Needs(lifecycle.DropTemplate):
		log.Warn("the pool has lost a template; another one is made when it is needed")
	case o.row.Needs(lifecycle.Adopt):
		log.Warn("the pool has a thin device that no record knows; \"veneer doctor --fix\" adopts it")
	case o.row.Needs(lifecycle.DropRecord):
		log.Warn("snapshot was not acknowledged when the process or the machine died, and its thin device was never made; it is dropped")
	case o.row.Needs(lifecycle.Resume):
		log.Warn("device was left suspended and is resumed")
	default:
		log.WithField("done", o.row.Cure()).Debug("cleaned up after a crash")
	}
}

// errLost is what using a lost snapshot gives.
func errLost(key string) error {
	return fmt.Errorf("%w: the pool has lost what %q held; see \"veneer doctor\"", ErrLost, key)
}

// notLost refuses a snapshot that is known to be lost.
func notLost(s metadata.Snapshot) error {
	if s.Lost {
		return errLost(s.Key)
	}
	return nil
}

// lostNow turns the pool's answer that it has no such thin device into one about the
// snapshot.
func lostNow(key string, err error) error {
	if err != nil && errors.Is(err, thinpool.ErrNoThin) {
		return errors.Join(errLost(key), err)
	}
	return err
}

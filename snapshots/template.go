package snapshots

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// templateName tells templates apart by all that goes into one.
func templateName(p metadata.Pool) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.Join(p.MkfsOptions, "\x00"))) // never fails
	return fmt.Sprintf("%s-%d-%08x", p.Filesystem, p.BaseSize, h.Sum32())
}

// template gives the formatted thin device that base snapshots are taken from, and
// makes it the first time: a filesystem is made once, not for every base layer.
func (d *Driver) template(ctx context.Context) (metadata.Template, error) {
	name := templateName(d.record)
	t, err := d.catalog.Template(name)
	if !errors.Is(err, metadata.ErrNotFound) {
		return t, err
	}
	// Whoever comes second waits for the first one's, and does not lose it when
	// the first one's context ends.
	made := d.templates.DoChan(name, func() (any, error) {
		return d.makeTemplate(context.WithoutCancel(ctx), name)
	})
	select {
	case r := <-made:
		t, _ := r.Val.(metadata.Template)
		return t, r.Err
	case <-ctx.Done():
		return t, ctx.Err()
	}
}

func (d *Driver) makeTemplate(ctx context.Context, name string) (metadata.Template, error) {
	p := d.record
	t := metadata.Template{Name: name, Size: d.pool.RoundUp(p.BaseSize), Filesystem: p.Filesystem}
	if have, err := d.catalog.Template(name); err == nil {
		return have, nil
	}
	var err error
	if t.Thin, err = d.catalog.Reserve(t.Size, "template "+name); err != nil {
		return t, err
	}
	if err = d.pool.CreateThin(t.Thin); err == nil {
		err = d.format(ctx, t)
	}
	if err == nil {
		err = d.catalog.AddTemplate(t)
	}
	if err != nil {
		return t, d.giveUp(t.Thin, fmt.Errorf("make the %s filesystem that base snapshots are taken from: %w", p.Filesystem, err))
	}
	return t, nil
}

func (d *Driver) format(ctx context.Context, t metadata.Template) error {
	live, err := d.pool.ActivateThin(t.Thin, t.Size, devmapper.ReadWrite)
	if err != nil {
		return err
	}
	err = d.host.Format(ctx, filesystem.Format{
		Filesystem: t.Filesystem, Device: live.Path(), Options: d.record.MkfsOptions,
		// What a fresh block of a pool that zeroes shows is zeros.
		Zeroed: !d.record.ExposeDeletedData,
	})
	if err == nil {
		var state filesystem.State
		if state, err = d.host.Settle(ctx, live.Path()); err == nil && state.NeedsReplay {
			err = errStillDirty // views show it, too
		}
	}
	return errors.Join(err, d.pool.DeactivateThin(t.Thin))
}

package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/internal/durable"
	"github.com/veneerdm/veneer/metadata"
)

// Backup writes a copy of the catalog as of one moment: the names of all snapshots and
// images, and which thin device each is. What the snapshots hold is in the pool and not in
// it. Restore puts it back. Changes go on meanwhile.
func (d *Driver) Backup(ctx context.Context, w io.Writer) error {
	end, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return class.Ensure(d.catalog.Backup(writerUntil{ctx, w}))
}

// writerUntil is a writer whose writes fail once a context has ended.
type writerUntil struct {
	ctx context.Context
	w   io.Writer
}

func (w writerUntil) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}

// Restore puts back a catalog that Backup wrote, and brings it to agreement with the pool
// as Examine does with fix set: what was made since the backup is adopted under names made
// of thin ids, what was removed since is marked lost, and nothing is deleted. The catalog
// that was there is kept beside it. The store must not be open: ErrLocked. A copy that is
// damaged or of another pool is refused, and nothing is changed.
func Restore(ctx context.Context, c Config, copied io.Reader) (findings []Finding, err error) {
	present, err := c.presentCatalog()
	if err != nil {
		return nil, err
	}
	defer func() {
		if present != nil {
			err = errors.Join(err, present.Close())
		}
	}()
	temp := c.catalogPath() + ".restoring"
	if err := writeCopy(temp, copied); err != nil {
		return nil, errors.Join(err, durable.Remove(temp))
	}
	if err := c.verifyCopy(temp, present); err != nil {
		return nil, errors.Join(err, durable.Remove(temp))
	}
	d := &Driver{config: c}
	if _, err := os.Stat(c.catalogPath()); err == nil {
		kept, err := d.setAside(".replaced")
		if err != nil {
			return nil, errors.Join(err, durable.Remove(temp))
		}
		findings = append(findings, Finding{What: "the catalog that was there", Cure: "kept as " + kept, Done: true})
	}
	if err := durable.Rename(temp, c.catalogPath()); err != nil {
		return findings, errors.Join(err, durable.Remove(temp))
	}
	if present != nil {
		// Its lock is on the file that was replaced; Examine takes that of the new one.
		err, present = present.Close(), nil
		if err != nil {
			return findings, err
		}
	}
	more, err := Examine(ctx, c, true)
	return append(findings, more...), err
}

// presentCatalog opens the catalog that is to be replaced, so that nobody else has it. One
// that is missing or damaged is nil.
func (c Config) presentCatalog() (Catalog, error) {
	present, err := c.openCatalog(c.catalogPath(), metadata.Options{MustExist: true})
	if errors.Is(err, metadata.ErrNotFound) || errors.Is(err, metadata.ErrCorrupt) || errors.Is(err, metadata.ErrVersion) {
		return nil, nil
	}
	return present, class.Ensure(err)
}

func writeCopy(path string, copied io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, copied)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// verifyCopy refuses what is no catalog, and the catalog of another pool.
func (c Config) verifyCopy(path string, present Catalog) error {
	restored, err := c.openCatalog(path, metadata.Options{MustExist: true})
	if errors.Is(err, metadata.ErrNotFound) { // an empty file
		return fmt.Errorf("%w: the copy of the catalog is empty; nothing was changed", ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("the copy of the catalog: %w; nothing was changed", class.Ensure(err))
	}
	pool, err := restored.Pool()
	err = errors.Join(err, restored.Check(), restored.Close())
	if err != nil {
		return fmt.Errorf("the copy of the catalog: %w; nothing was changed", class.Ensure(err))
	}
	if pool.State != metadata.Ready {
		return fmt.Errorf("%w: the copy was made while its pool %q was being made or destroyed, and putting it back would destroy it; nothing was changed", ErrInvalid, pool.Name)
	}
	if present == nil {
		return nil
	}
	have, err := present.Pool()
	if errors.Is(err, metadata.ErrNotFound) {
		return nil
	}
	if err != nil {
		return class.Ensure(err)
	}
	if have.Name != pool.Name || !have.Created.Equal(pool.Created) || have.Data != pool.Data || have.Metadata != pool.Metadata {
		return fmt.Errorf("%w: the copy is of the pool %q made %s, this store has the pool %q made %s; nothing was changed",
			ErrInvalid, pool.Name, pool.Created.Format("2006-01-02 15:04:05"), have.Name, have.Created.Format("2006-01-02 15:04:05"))
	}
	return nil
}

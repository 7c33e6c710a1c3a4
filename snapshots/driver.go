package snapshots

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/singleflight"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/keylock"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/thinpool"
)

// Config says where a store is and what the driver works with. Root is all that
// must be given; the rest is for tests and for programs that bring their own.
type Config struct {
	Root  string             // folder of the catalog and, by default, of the pool's files
	DM    *devmapper.Client  // nil: the kernel's, opened and closed by the driver
	Disks Disks              // nil: by the kind of the pool's backing
	Host  Host               // nil: this machine
	Log   logrus.FieldLogger // nil: nothing is logged
	Admit Admission          // what is refused when space runs low
	// OpenCatalog opens the catalog; nil is metadata.Open.
	OpenCatalog func(path string, o metadata.Options) (Catalog, error)
	// RecoveredKey names the snapshot of a thin device whose name was lost with the
	// catalog, when Examine makes another; nil is "recovered-ID".
	RecoveredKey func(dmthin.ThinID) string
}

func (c Config) catalogPath() string { return filepath.Join(c.Root, "catalog.db") }

// Driver is an open store. It is safe for concurrent use.
type Driver struct {
	config  Config
	log     logrus.FieldLogger
	dm      *devmapper.Client
	ownDM   bool
	disks   Disks
	host    Host
	catalog Catalog
	record  metadata.Pool
	pool    *thinpool.Pool

	gate       gate
	thins      keylock.Locks[dmthin.ThinID] // one operation at a time on each
	leftovers  leftovers
	growing    keylock.Locks[string] // by pool: of two that grow it, one would load the other's old size
	templates  singleflight.Group
	clock      atomic.Uint32 // the pool's snapshot time
	reaper     *reaper
	saver      *saver
	stop       context.CancelFunc // of the background work; nil when there is none
	background sync.WaitGroup
	released   sync.Once
	unknown    []dmthin.ThinID // in the pool, and no record knows them
}

// Open opens a store whose pool exists, activates the pool if it is not, as after
// a reboot, and brings catalog, pool and live devices to agreement before it
// returns. It fails at once with ErrLocked when another process has the store.
func Open(ctx context.Context, c Config) (*Driver, error) {
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	d.catalog, err = c.openCatalog(c.catalogPath(), metadata.Options{MustExist: true})
	if err != nil {
		return nil, errors.Join(d.explainMissing(err), d.release())
	}
	if err = d.readRecord(); err == nil && d.record.State != metadata.Ready {
		err = fmt.Errorf("%w: the pool %q was never finished, or never quite destroyed; \"veneer pool create\" takes away what is left", metadata.ErrNotFound, d.record.Name)
	}
	if err != nil {
		return nil, errors.Join(class.Ensure(err), d.release())
	}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return d, nil
}

// readRecord reads from the catalog what the pool is.
func (d *Driver) readRecord() (err error) {
	d.record, err = d.catalog.Pool()
	if errors.Is(err, metadata.ErrNotFound) {
		return fmt.Errorf("%w: there is no pool in %s; make one with \"veneer pool create\"", metadata.ErrNotFound, d.config.Root)
	}
	return err
}

func newDriver(c Config) (*Driver, error) {
	d := &Driver{config: c, log: c.Log, dm: c.DM, disks: c.Disks, host: c.Host}
	if d.log == nil {
		d.log = quiet()
	}
	// One of each for all times: whoever wakes them does not look whether they run.
	d.reaper, d.saver = newReaper(d), newSaver()
	if d.host == nil {
		d.host = machine{}
	}
	if d.dm == nil {
		dm, err := devmapper.Open()
		if err != nil {
			return nil, err
		}
		d.dm, d.ownDM = dm, true
	}
	return d, nil
}

// start activates the pool, reconciles and begins the background work.
func (d *Driver) start(ctx context.Context) error {
	if d.disks == nil {
		d.disks = disk.ForBacking(d.record.Backing)
	}
	spec, err := d.attach(ctx)
	if err != nil {
		return err
	}
	if d.pool, err = d.openPool(ctx, spec); err != nil {
		if there, look := d.active(); look == nil && !there {
			err = errors.Join(err, d.disks.Detach(ctx, d.record)) // attached for nothing
			if errors.Is(err, thinpool.ErrForeign) && d.record.State == metadata.Ready {
				err = fmt.Errorf("%w; if it is the right disk, its first block is damaged, and \"veneer pool repair\" makes a good copy of the rest", err)
			}
		}
		return class.Ensure(err)
	}
	if err := d.catalog.Check(); err != nil {
		return fmt.Errorf("%w; see \"veneer doctor\"", class.Ensure(err))
	}
	if err := d.catalog.WriteAhead(); err != nil {
		return class.Ensure(err)
	}
	if err := d.reconcile(ctx); err != nil {
		return err
	}
	d.work(ctx)
	return nil
}

// work begins the background work; halt ends it. A pool that is being destroyed has none.
func (d *Driver) work(ctx context.Context) {
	if d.gate.why() != nil {
		return
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	d.background.Go(func() { d.reaper.run(background) })
	d.background.Go(func() { d.watch(background) })
	d.background.Go(func() { d.saver.run(background, d) })
}

// Close waits for the operations in flight, ends the background work and gives the
// catalog back. Devices and the pool stay active: containers go on. Every call after it
// is ErrClosed; closing twice is no error.
func (d *Driver) Close() error {
	d.gate.close()
	return d.release()
}

// Root is the store's folder.
func (d *Driver) Root() string { return d.config.Root }

// halt ends the background work, if there is any. Only one that has the gate alone, or
// has closed it, calls it, and work.
func (d *Driver) halt() {
	if d.stop != nil {
		d.stop()
		d.background.Wait()
		d.stop = nil
	}
}

// release ends the background work and gives back what newDriver and the catalog took,
// once.
func (d *Driver) release() (err error) {
	d.released.Do(func() {
		d.halt()
		if d.catalog != nil {
			err = d.catalog.Close()
		}
		if d.ownDM {
			err = errors.Join(err, d.dm.Close())
		}
	})
	return err
}

// begin is the first line of every method: it refuses a closed driver and a context that
// has ended, and keeps the driver open until end is called.
func (d *Driver) begin(ctx context.Context) (end func(), err error) { return d.gate.enter(ctx) }

// hold gives the record of a snapshot whose thin device no other operation touches
// until unlock is called.
func (d *Driver) hold(ctx context.Context, key string) (s metadata.Snapshot, unlock func(), err error) {
	for {
		if s, err = d.catalog.Get(key); err != nil {
			return s, nil, err
		}
		if unlock, err = d.thins.Lock(ctx, s.Thin); err != nil {
			return s, nil, err
		}
		// It may have been removed, or rolled back to another thin, while this waited.
		now, err := d.catalog.Get(key)
		if err == nil && now.Thin == s.Thin {
			return now, unlock, nil
		}
		unlock()
	}
}

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetLevel(logrus.PanicLevel)
	return l
}

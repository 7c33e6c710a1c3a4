package snapshots

import (
	"io"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Catalog is what the driver needs of a catalog; [metadata.Catalog] is the one that
// keeps it in a file. Its methods are described there.
type Catalog interface {
	Pool() (metadata.Pool, error)
	SetPool(metadata.Pool) error
	Reset() error

	Get(key string) (metadata.Snapshot, error)
	Snapshots() ([]metadata.Snapshot, error)
	Children(key string) []string
	Create(s metadata.Snapshot, of ...metadata.Snapshot) (metadata.Snapshot, error)
	Acknowledge(s metadata.Snapshot)
	Commit(was metadata.Snapshot, name string, change func(*metadata.Snapshot)) (metadata.Snapshot, error)
	CommitCopy(was metadata.Snapshot, name string, fresh dmthin.ThinID, change func(*metadata.Snapshot)) (metadata.Snapshot, error)
	ReplaceThin(was metadata.Snapshot, fresh dmthin.ThinID, size uint64) (metadata.Snapshot, error)
	Update(was metadata.Snapshot, change func(*metadata.Snapshot) error) (metadata.Snapshot, error)
	Remove(was metadata.Snapshot) (metadata.Snapshot, error)
	Adopt(all []metadata.Snapshot) error
	MarkLost(all ...metadata.Snapshot) error
	MarkFound(all ...metadata.Snapshot) error

	Template(name string) (metadata.Template, error)
	AddTemplate(metadata.Template) error
	RemoveTemplate(name string) error

	Reserve(size uint64, purpose string) (dmthin.ThinID, error)
	Release(ids ...dmthin.ThinID) error
	Trash() ([]metadata.Trash, error)
	Forget(ids ...dmthin.ThinID) error

	Thins() ([]metadata.Thin, error)
	InFlight() ([]metadata.Snapshot, error)
	Viewed(id dmthin.ThinID, parent string) (bool, error)
	SkipThins(ids []dmthin.ThinID)
	Clock() uint32
	SetClock(time uint32)
	SaveAcknowledged() error
	Unsaved() bool

	PutImage(metadata.Image) error
	Image(name string) (metadata.Image, error)
	Images() ([]metadata.Image, error)
	DeleteImage(name string) error

	Backup(w io.Writer) error
	WriteAhead() error
	Check() error
	Err() error
	Close() error
}

var _ Catalog = (*metadata.Catalog)(nil)

// openCatalog opens a catalog in its file, unless the configuration has another way.
func (c Config) openCatalog(path string, o metadata.Options) (Catalog, error) {
	if c.OpenCatalog != nil {
		return c.OpenCatalog(path, o)
	}
	opened, err := metadata.Open(path, o)
	if err != nil {
		return nil, err // and not an interface that holds no catalog
	}
	return opened, nil
}

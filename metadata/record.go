package metadata

import (
	"time"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Kind says what may be done with a snapshot.
type Kind string

// The kinds of a snapshot, as they are stored.
const (
	Active    Kind = "active"
	Committed Kind = "committed"
	View      Kind = "view"
)

// State says how far the making or destroying of the pool got.
type State string

// The states of a pool's record.
const (
	// Creating: it is not complete, or is being destroyed. What there is of it goes.
	Creating State = "creating"
	Ready    State = "ready"
)

// Snapshot is the record of one snapshot.
type Snapshot struct {
	Key    string `json:"-"`
	Parent string `json:"parent,omitempty"`
	Kind   Kind   `json:"kind"`
	// Serial tells it from every other snapshot, also from a later one with its key.
	Serial uint64 `json:"serial"`
	// Lost says that the pool has lost its thin device.
	Lost       bool              `json:"lost,omitempty"`
	Thin       dmthin.ThinID     `json:"thin"` // a view has its parent's
	Size       uint64            `json:"size"` // bytes
	Filesystem string            `json:"filesystem"`
	Labels     map[string]string `json:"labels,omitempty"`
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated"`
	// Template is what a snapshot without a parent was taken from.
	Template string `json:"template,omitempty"`
}

// OwnsThin says that the snapshot's thin device goes with it.
func (s Snapshot) OwnsThin() bool { return s.Kind != View }

// Template is a formatted thin device that base snapshots are taken from.
type Template struct {
	Name       string        `json:"-"`
	Thin       dmthin.ThinID `json:"thin"`
	Size       uint64        `json:"size"` // bytes
	Filesystem string        `json:"filesystem"`
}

// Trash is a thin device that is to be deleted, if the pool has it.
type Trash struct {
	Thin  dmthin.ThinID `json:"-"`
	Size  uint64        `json:"size"` // bytes, to activate it for its discard
	Was   string        `json:"was"`  // the key it had, for people
	Since time.Time     `json:"since"`
	// Reserved says that an operation under way may still take it. After a crash
	// no operation is under way: ReleaseAll says so.
	Reserved bool `json:"reserved,omitempty"`
}

// Backing says what a pool's disks are.
type Backing string

// The kinds of backing.
const (
	BackingLoop    Backing = "loop"    // files, as loop devices
	BackingDevices Backing = "devices" // two block devices
	BackingLVM     Backing = "lvm"     // logical volumes
)

// Pool is the record of the pool.
type Pool struct {
	Name         string  `json:"name"`
	State        State   `json:"state"`
	Backing      Backing `json:"backing"`
	Data         string  `json:"data"`     // path of the file or device
	Metadata     string  `json:"metadata"` // likewise
	VolumeGroup  string  `json:"volume_group,omitempty"`
	ExistingPool string  `json:"existing_pool,omitempty"` // LVM thin pool that was there before
	BlockSize    uint64  `json:"block_size"`              // bytes
	// LowWater is how many free data blocks raise an event.
	LowWater          uint64    `json:"low_water"`
	ErrorWhenFull     bool      `json:"error_when_full,omitempty"`
	ExposeDeletedData bool      `json:"expose_deleted_data,omitempty"`
	Filesystem        string    `json:"filesystem"`             // of new base snapshots
	MkfsOptions       []string  `json:"mkfs_options,omitempty"` // words added to the mkfs command
	BaseSize          uint64    `json:"base_size"`              // bytes, of new base snapshots
	Created           time.Time `json:"created"`
}

// Image is an image's record, which its package writes and reads.
type Image struct {
	Name   string
	Record []byte // JSON
}

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/internal/command"
)

// A Kind is one kind of filesystem.
type Kind interface {
	// Name is what mount(2) calls it. It is stored in catalogs and never changes.
	Name() string
	// Tool is the program that makes one.
	Tool() Tool
	// LeastSize is the least number of bytes of a device that Format succeeds on.
	LeastSize() uint64
	// Format makes an empty filesystem without a lost+found on f.Device.
	Format(ctx context.Context, f Format) error
	// MountOptions are for mounting a snapshot of a pool. Two snapshots of one origin
	// may be mounted at once, so they may have the same UUID.
	MountOptions(readOnly bool) []string
	// Grow makes a mounted filesystem fill a device of so many bytes. It may be
	// repeated after a crash or an error, and then finishes what was begun.
	Grow(tree *Tree, bytes uint64) error
	// Superblock decodes the first HeadSize bytes of a device. It is false if they
	// are not of this kind.
	Superblock(head []byte) (Superblock, bool)
	// NeedsReplay says whether a mount of a device writes to it first, because the
	// filesystem was not unmounted. head is the device's first HeadSize bytes, of which
	// Superblock says that they are of this kind. The device is read in blocks of
	// BlockSize bytes at their place. An error is one of reading, or says that the log is
	// damaged.
	NeedsReplay(head []byte, device io.ReaderAt) (bool, error)
}

// HeadSize is how many bytes at the beginning of a device tell what it holds. BlockSize
// is the unit in which devices are read; it is a multiple of every disk's block size.
const (
	HeadSize  = BlockSize
	BlockSize = 4096
)

// Superblock is what a filesystem says about itself.
type Superblock struct {
	Kind string   // its name
	Size uint64   // bytes
	UUID [16]byte // snapshots have that of what they are a copy of
}

// Default is the kind of those who choose none.
const Default = nameExt4

// kinds are all kinds that there are. Identify asks them in this order.
var kinds = []Kind{ext4{}, xfs{}}

// Names lists the kinds, the default first.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name()
	}
	return names
}

// ByName finds a kind; another name is class.Invalid, and the message lists those that
// there are.
func ByName(name string) (Kind, error) {
	for _, k := range kinds {
		if k.Name() == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: filesystem %q; %s are possible", class.Invalid, name, strings.Join(Names(), " and "))
}

// MountOf says how to mount a snapshot's device. What is of no known kind has no
// options: the name may be of a later version, or "" for a device that holds no
// filesystem.
func MountOf(name, device string, readOnly bool) Mount {
	m := Mount{Type: name, Source: device}
	if k, err := ByName(name); err == nil {
		m.Options = k.MountOptions(readOnly)
	} else if readOnly {
		m.Options = []string{"ro"}
	}
	return m
}

// A Tool is a program of the system.
type Tool struct {
	Name    string
	Package string // that has it, in Debian and most others
}

// run runs the tool to its end.
func (t Tool) run(ctx context.Context, args ...string) error {
	_, err := t.program().Run(ctx, args...)
	return class.Ensure(err)
}

func (t Tool) program() command.Program {
	return command.Program{Name: t.Name, Package: t.Package}
}

// MissingTools names the programs that a kind needs and this machine lacks, each with
// the package that has it. Of an unknown kind nothing is missing.
func MissingTools(name string) (missing []string) {
	k, err := ByName(name)
	if err != nil {
		return nil
	}
	t := k.Tool()
	if _, err := t.program().Path(); errors.Is(err, command.ErrNotInstalled) {
		missing = append(missing, t.Name+" (package "+t.Package+")")
	}
	return missing
}

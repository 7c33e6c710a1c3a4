package filesystem

import "context"

// Format describes a filesystem to be made.
type Format struct {
	Filesystem string // a name of Names
	Device     string
	Zeroed     bool     // the device reads as zeros, so none need be written
	Options    []string // words for the mkfs command, before the device
}

// Make makes a filesystem. What the device held is lost.
func Make(ctx context.Context, f Format) error {
	k, err := ByName(f.Filesystem)
	if err != nil {
		return err
	}
	return k.Format(ctx, f)
}

package backend

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/bench"
)

// Aufs is recognised, so that who asks for it learns why it is not here.
type Aufs struct{}

// About describes the backend.
func (Aufs) About() bench.About {
	return bench.About{Name: "aufs", Text: "aufs, Docker's first driver; in no current kernel", Kind: bench.KindFile, Filesystem: "ext4"}
}

// Ready says why not. A kernel that does have aufs copies files up as overlayfs does.
func (Aufs) Ready() error {
	return fmt.Errorf("%w: aufs was never taken into Linux, distributions have dropped their patches, and Docker and containerd their drivers; overlay copies whole files up as aufs did", bench.ErrNotReady)
}

// Open gives Ready's reason.
func (a Aufs) Open(context.Context, bench.Disk, string) (bench.Store, error) {
	return nil, a.Ready()
}

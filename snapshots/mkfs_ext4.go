package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// formatExt4 makes an ext4 filesystem. On a device that reads as zeros mkfs may
// assume so, which maps 5 MiB of a 10 GiB device and not 229; mkfs before 1.47
// does not know how to say that and initialises its tables at once instead, so that
// no kernel thread writes them into every container later.
func formatExt4(ctx context.Context, f Format) error {
	const eager = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
	how := []string{eager}
	if f.Zeroed {
		how = []string{"nodiscard,assume_storage_prezeroed=1", eager}
	}
	var err error
	for _, extended := range how {
		args := append([]string{"-q", "-F", "-E", extended}, f.Options...)
		if err = mkfs(ctx, "mkfs.ext4", "e2fsprogs", append(args, f.Device)...); err == nil {
			return removeLostAndFound(f)
		}
	}
	return err
}

// removeLostAndFound leaves an image's root as the image says it is.
func removeLostAndFound(f Format) error {
	tree, err := (Mount{Type: f.Filesystem, Source: f.Device}).Open()
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(tree.Path()+"/lost+found"), tree.Close())
}

// mkfs runs a tool that makes a filesystem.
func mkfs(ctx context.Context, tool, from string, args ...string) error {
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("the command %s is not there; install %s: %w", tool, from, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

// MissingTools names commands that making a filesystem needs and this machine
// lacks, with the package that has each.
func MissingTools(filesystem string) (missing []string) {
	tools := map[string]map[string]string{
		"ext4": {"mkfs.ext4": "e2fsprogs"},
		"xfs":  {"mkfs.xfs": "xfsprogs"},
	}
	for tool, from := range tools[filesystem] {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" (package "+from+")")
		}
	}
	return missing
}

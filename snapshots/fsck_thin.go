package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// errNoTool says that a command is not installed.
var errNoTool = errors.New("the command is not there")

// thinTool runs one of thin-provisioning-tools.
func thinTool(ctx context.Context, tool string, args ...string) error {
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: %s; install thin-provisioning-tools", errNoTool, tool)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

// thinCheckAndClear is thinCheck, and takes the kernel's mark away that a check is
// needed: thin_repair copies it.
func thinCheckAndClear(ctx context.Context, path string) error {
	return thinTool(ctx, "thin_check", "--clear-needs-check-flag", path)
}

// thinCheck has the reference tool read a pool's metadata, counts included. It
// writes nothing. Metadata that is not right is an *exec.ExitError.
func thinCheck(ctx context.Context, path string) error { return thinTool(ctx, "thin_check", path) }

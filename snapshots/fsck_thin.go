package snapshots

import (
	"context"
	"errors"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/internal/command"
)

// thinTool runs one of thin-provisioning-tools. One that is not installed is
// class.NotSupported.
func thinTool(ctx context.Context, tool string, args ...string) error {
	_, err := command.Program{Name: tool, Package: "thin-provisioning-tools"}.Run(ctx, args...)
	return class.Ensure(err)
}

// rejected says that a tool has looked and does not like what it found. All other errors
// of thinTool are about the tool: it is not installed, could not be started, was killed.
func rejected(err error) bool {
	failed, ok := errors.AsType[*command.Error](err)
	return ok && failed.Status > 0
}

// thinCheckAndClear is thinCheck, and takes the kernel's mark away that a check is
// needed: thin_repair copies it.
func thinCheckAndClear(ctx context.Context, path string) error {
	return thinTool(ctx, "thin_check", "--clear-needs-check-flag", path)
}

// thinCheck has the reference tool read a pool's metadata, counts included. It
// writes nothing. Metadata that is not right is an error that was rejected.
func thinCheck(ctx context.Context, path string) error { return thinTool(ctx, "thin_check", path) }

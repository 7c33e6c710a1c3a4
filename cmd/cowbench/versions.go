package main

import (
	"context"

	"github.com/veneerdm/veneer/bench/tool"
	"github.com/veneerdm/veneer/internal/command"
)

// addVersions asks the tools that results depend on.
func addVersions(ctx context.Context, versions map[string]string) {
	versions["veneer"] = version
	for _, t := range []struct {
		tool command.Program
		flag string
	}{
		{tool.MkfsExt4, "-V"}, {tool.MkfsXFS, "-V"}, {tool.MkfsBtrfs, "-V"}, {tool.Fio, "--version"},
		{tool.SQLite, "--version"}, {tool.FuseOverlayFS, "--version"}, {tool.ZFS, "version"},
	} {
		if v := t.tool.Version(ctx, t.flag); v != "" {
			versions[t.tool.Name] = v
		}
	}
}

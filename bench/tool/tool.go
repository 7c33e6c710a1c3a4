package tool

import "github.com/veneerdm/veneer/internal/command"

// The programs that the benchmark runs.
var (
	MkfsExt4      = command.Program{Name: "mkfs.ext4", Package: "e2fsprogs"}
	MkfsXFS       = command.Program{Name: "mkfs.xfs", Package: "xfsprogs"}
	MkfsBtrfs     = command.Program{Name: "mkfs.btrfs", Package: "btrfs-progs"}
	Zpool         = command.Program{Name: "zpool", Package: "zfsutils-linux"}
	ZFS           = command.Program{Name: "zfs", Package: "zfsutils-linux"}
	FuseOverlayFS = command.Program{Name: "fuse-overlayfs", Package: "fuse-overlayfs"}
	Fio           = command.Program{Name: "fio", Package: "fio"}
	SQLite        = command.Program{Name: "sqlite3", Package: "sqlite3"}
)

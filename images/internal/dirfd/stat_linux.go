package dirfd

import (
	"time"

	"golang.org/x/sys/unix"
)

// Time is a moment as the kernel keeps it, to the nanosecond.
type Time unix.Timespec

// TimeOf converts t.
func TimeOf(t time.Time) Time {
	var ts Time
	ts.Sec = t.Unix()
	ts.Nsec = int64(t.Nanosecond())
	return ts
}

// Time converts back.
func (t Time) Time() time.Time { return time.Unix(t.Sec, t.Nsec) }

// Stat describes a file.
type Stat struct {
	Dev, Ino     uint64
	Mode         uint32 // type and permission bits, as st_mode
	UID, GID     uint32
	Links        uint64
	Size         int64
	Major, Minor uint32 // of a device file
	Mtime, Ctime Time
}

// The file types in Stat.Mode and in Mknod's mode.
const (
	TypeMask    = unix.S_IFMT
	TypeRegular = unix.S_IFREG
	TypeDir     = unix.S_IFDIR
	TypeSymlink = unix.S_IFLNK
	TypeChar    = unix.S_IFCHR
	TypeBlock   = unix.S_IFBLK
	TypeFifo    = unix.S_IFIFO
	TypeSocket  = unix.S_IFSOCK
)

// Type is the file type bits of Mode.
func (s *Stat) Type() uint32 { return s.Mode & TypeMask }

// Perm is the permission, setuid, setgid and sticky bits of Mode.
func (s *Stat) Perm() uint32 { return s.Mode & 0o7777 }

// IsDir says whether the file is a directory.
func (s *Stat) IsDir() bool { return s.Type() == TypeDir }

// StatEntry describes an entry, a symbolic link itself.
func (d Dir) StatEntry(name string) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(d), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Stat{}, err
	}
	return stat(&st), nil
}

// Stat describes d itself.
func (d Dir) Stat() (Stat, error) { return statFD(int(d)) }

// Stat describes f.
func (f File) Stat() (Stat, error) { return statFD(int(f)) }

func statFD(fd int) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Stat{}, err
	}
	return stat(&st), nil
}

func stat(st *unix.Stat_t) Stat {
	return Stat{
		Dev: st.Dev, Ino: st.Ino, Mode: st.Mode, UID: st.Uid, GID: st.Gid,
		Links: uint64(st.Nlink), //nolint:unconvert // it has 32 bits on arm64
		Size:  st.Size,
		Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev),
		Mtime: Time(st.Mtim), Ctime: Time(st.Ctim),
	}
}

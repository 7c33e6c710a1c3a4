package uapi

import "fmt"

// Command is the number of a control operation, the low byte of its ioctl.
type Command uint8

// The operations of dm-ioctl.h, with the interface version that first has each
// beyond 4.0.
const (
	Version          Command = 0
	RemoveAll        Command = 1
	ListDevices      Command = 2
	DevCreate        Command = 3
	DevRemove        Command = 4
	DevRename        Command = 5
	DevSuspend       Command = 6 // and resume, by the absence of FlagSuspend
	DevStatus        Command = 7
	DevWait          Command = 8
	TableLoad        Command = 9
	TableClear       Command = 10
	TableDeps        Command = 11
	TableStatus      Command = 12
	ListVersions     Command = 13
	TargetMessage    Command = 14
	DevSetGeometry   Command = 15
	DevArmPoll       Command = 16 // 4.37
	GetTargetVersion Command = 17 // 4.41
)

// Request is the ioctl request number: _IOWR(0xfd, c, struct dm_ioctl).
func (c Command) Request() uintptr { return 0xC138FD00 | uintptr(c) }

var commandNames = [...]string{
	"version", "remove all", "list devices", "create", "remove", "rename",
	"suspend or resume", "info", "wait", "table load", "table clear", "deps",
	"table status", "list targets", "message", "set geometry", "arm poll",
	"target version",
}

func (c Command) String() string {
	if int(c) < len(commandNames) {
		return commandNames[c]
	}
	return fmt.Sprintf("command %d", uint8(c))
}

// Flags are the flag bits of struct dm_ioctl.
type Flags uint32

// Flag bits of dm-ioctl.h. (i) is read by the kernel, (o) written, (io) both.
const (
	FlagReadOnly           Flags = 1 << 0  // io
	FlagSuspend            Flags = 1 << 1  // io
	FlagPersistentDev      Flags = 1 << 3  // i
	FlagStatusTable        Flags = 1 << 4  // i
	FlagActivePresent      Flags = 1 << 5  // o
	FlagInactivePresent    Flags = 1 << 6  // o
	FlagBufferFull         Flags = 1 << 8  // o
	FlagSkipLockFS         Flags = 1 << 10 // i
	FlagNoFlush            Flags = 1 << 11 // i
	FlagQueryInactiveTable Flags = 1 << 12 // i
	FlagUeventGenerated    Flags = 1 << 13 // o
	FlagUUID               Flags = 1 << 14 // i
	FlagSecureData         Flags = 1 << 15 // i
	FlagDataOut            Flags = 1 << 16 // o
	FlagDeferredRemove     Flags = 1 << 17 // io
	FlagInternalSuspend    Flags = 1 << 18 // o
)

package devmapper

// udevFlags ride in the high half of event_nr and reach udev's rules as DM_COOKIE
// (lvm2, libdm/libdevmapper.h): PRIMARY_SOURCE, without which the rules take the
// event for a spurious one, and DISABLE_SUBSYSTEM, DISABLE_DISK and DISABLE_OTHER,
// so that no scanner opens a container's device. The low half, the semaphore to
// wait on, stays 0: nothing here waits for udev.
const udevFlags = (0x40 | 0x02 | 0x04 | 0x08) << 16

// nodes keeps /dev/mapper in step with the kernel.
type nodes interface {
	make(Name, DevNo) error
	remove(Name) error
}

type noNodes struct{}

func (noNodes) make(Name, DevNo) error { return nil }
func (noNodes) remove(Name) error      { return nil }

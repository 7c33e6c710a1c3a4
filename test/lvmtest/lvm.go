package lvmtest

import (
	"context"
	"os"

	"github.com/veneerdm/veneer/internal/command"
)

var program = command.Program{Name: "lvm", Package: "lvm2"}

// Run runs one of LVM's commands and gives what it printed. Without udev nothing would
// complete the cookies that LVM waits for, so it is told not to wait.
func Run(ctx context.Context, args ...string) (string, error) {
	if _, err := os.Stat("/run/udev/control"); err != nil {
		args = append(args, "--config", "activation{udev_sync=0 udev_rules=0 monitoring=0} devices{obtain_device_list_from_udev=0}")
	}
	return program.Run(ctx, args...)
}

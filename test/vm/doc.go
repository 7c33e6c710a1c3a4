// Command vm runs a command under a Linux kernel that has dm-thin.
//
//	go run ./test/vm [flags] -- CMD ARGS
//	go test -exec "$PWD/bin/vm" ./devmapper
//
// It boots a kernel, runs CMD in the same working directory with the host's
// files in view, and ends with CMD's exit status. Three backends know how:
//
//   - native: the caller is root on a kernel that has dm-thin. CMD gets a mount
//     namespace of its own and nothing else is between it and the machine.
//   - uml: User-Mode Linux, from Debian's package user-mode-linux. It needs
//     neither root nor KVM and reaches CMD in about two seconds. One CPU, no race
//     detector.
//   - qemu: the distribution's own kernel under qemu, with KVM or without.
//
// # What CMD sees
//
// The host's root, read-only. /etc /var /opt /root /home /tmp /mnt and /srv are
// tmpfs overlays: writable, and forgotten at the end. /run and /dev/shm start
// empty. One folder of the host, named by -out, is writable under its own path.
// A fresh ext4 filesystem is mounted at $VENEER_SCRATCH, TMPDIR lies inside it,
// and VENEER_VM names the backend, so that a test can tell where it is. All
// other variables of the environment are the caller's. There is no udev; dmsetup
// makes its nodes itself (DM_DISABLE_UDEV=1). Standard input is empty.
//
// Standard output and standard error arrive as they are written, each on its own
// stream; when both are one file on the host they are one file for CMD, so their
// order is CMD's own. Files that a test binary is asked to write (-test.coverprofile
// and its kin) reach the host at the place asked for.
//
// # What is left behind
//
// Nothing. The machine runs in a session of its own, and only processes of that
// session are ever killed. The scratch disk has no name on the host. A folder
// left by a vm that was itself killed is swept by the next one.
//
// With -leakcheck, the default for test binaries, CMD must leave nothing behind
// either: device-mapper devices, loop devices and mounts that were not there at
// the start are named on standard error and the exit status is 97.
//
// # Exit status
//
// CMD's own; 128+N when signal N ended it; 97 when it left something behind; 124
// when it ran longer than -timeout; 125 when the machine could not be started or
// died; 126 and 127 when CMD could not be run or was not found.
package main

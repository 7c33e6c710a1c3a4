package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestNative runs vm on a kernel that has dm-thin, which is one that vm booted.
func TestNative(t *testing.T) {
	needBackend(t)
	r := vm(t, "--", "sh", "-c", `
		vm='`+program+` -backend native'
		$vm -- sh -c 'echo $VENEER_VM; touch $TMPDIR/x; df --output=fstype $VENEER_SCRATCH | tail -1; exit 5'; echo status $?
		$vm -leakcheck on -- sh -c 'echo 0 8 zero | dmsetup create leaked; mount -t tmpfs none /srv'; echo status $?
		dmsetup remove leaked
		$vm -- sh -c 'echo up > /tmp/up; sleep 36000' & until [ -e /tmp/up ]; do sleep 0.1; done
		kill -9 $!
		for i in $(seq 6000); do
			left="$(losetup -a)$(pgrep sleep)$(ls $TMPDIR/veneer-vm-*/run-* 2>/dev/null)"
			[ -z "$left" ] && break
			sleep 0.1
		done
		echo "left: $left"; grep -c 'tmpfs /srv' /proc/mounts`)
	assert.Equal(t, "native\next4\nstatus 5\nstatus 97\nleft: \n0\n", r.stdout, r.stderr)
	assert.Contains(t, r.stderr, "device-mapper device leaked")
	assert.Contains(t, r.stderr, "on /srv")
}

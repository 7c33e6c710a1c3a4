package bench

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine describes this machine.
func Machine() Environment {
	e := Environment{
		CPUs: runtime.NumCPU(), CPU: field("/proc/cpuinfo", "model name", ":"), System: strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Virtual: os.Getenv("VENEER_VM"), Versions: map[string]string{},
	}
	if e.CPU == "" {
		e.CPU = field("/proc/cpuinfo", "host", ":") // User-Mode Linux names the machine below
	}
	if e.Virtual == "native" {
		e.Virtual = ""
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	if kib, err := strconv.ParseUint(strings.TrimSuffix(field("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64); err == nil {
		e.Memory = kib << 10
	}
	return e
}

// field is the value of the first line of a file that starts with a name.
func field(path, name, sep string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, sep); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

package dirfd

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// Umask is the process's file mode creation mask, read without changing it
// (/proc/self/status has it since Linux 4.7). Where it cannot be known all bits
// are set: a caller that compares modes then sets each one.
func Umask() uint32 {
	const unknown = 0o777
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return unknown
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word, ok := strings.CutPrefix(lines.Text(), "Umask:")
		if !ok {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(word), 8, 32)
		if err != nil {
			return unknown
		}
		return uint32(mask)
	}
	return unknown
}

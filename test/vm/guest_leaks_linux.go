package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// leakGrace is how long the kernel may take to finish what CMD had already asked
// for: a deferred removal, a loop device whose last user just closed it. Only what is
// left for good takes so long to be reported.
const leakGrace = 10 * time.Second

// stock is what exists in a machine that a careful program takes away again,
// described for a person.
type stock map[string]bool

// leftBehind lists what is there now and was not before.
func leftBehind(before stock) []string {
	deadline := time.Now().Add(leakGrace)
	for {
		var leaks []string
		for thing := range takeStock() {
			if !before[thing] {
				leaks = append(leaks, thing)
			}
		}
		if len(leaks) == 0 || time.Now().After(deadline) {
			sort.Strings(leaks)
			return leaks
		}
		<-time.After(50 * time.Millisecond)
	}
}

func takeStock() stock {
	s := stock{}
	devices, _ := filepath.Glob("/sys/block/dm-*")
	for _, device := range devices {
		name := readTrimmed(filepath.Join(device, "dm/name"))
		s[fmt.Sprintf("device-mapper device %s (%s)", name, filepath.Base(device))] = true
	}
	backings, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, backing := range backings {
		device := filepath.Base(filepath.Dir(filepath.Dir(backing)))
		s[fmt.Sprintf("loop device /dev/%s of %s", device, readTrimmed(backing))] = true
	}
	mounts, _ := readLines("/proc/self/mountinfo")
	for _, line := range mounts {
		// id parent major:minor root target options ... - type source options
		head, tail, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(head), strings.Fields(tail)
		if len(fields) > 4 && len(kind) > 1 {
			s[fmt.Sprintf("mount of %s (%s) on %s, id %s", kind[1], kind[0], fields[4], fields[0])] = true
		}
	}
	return s
}

func readTrimmed(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(data))
}

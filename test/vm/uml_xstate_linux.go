package main

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// xstateSource is a library that UML needs on a host whose processor has AMX: it says why.
//
//go:embed preload/xstate.c
var xstateSource string

// hasAMX tells whether the host's processor has AMX, by the flags in /proc/cpuinfo.
func hasAMX(cpuinfo string) bool {
	for flag := range strings.FieldsSeq(cpuinfo) {
		if strings.HasPrefix(flag, "amx_") {
			return true
		}
	}
	return false
}

// xstateLibrary gives the path of the library to preload, "" where none is needed. It is
// compiled once for all machines of this user.
func xstateLibrary(folder string) (string, error) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !hasAMX(string(info)) {
		return "", err
	}
	library := filepath.Join(folder, fmt.Sprintf("xstate-%.8x.so", sha256.Sum256([]byte(xstateSource))))
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	temp, err := os.CreateTemp(folder, "xstate-*.tmp")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("cc", "-shared", "-fPIC", "-O2", "-o", temp.Name(), "-x", "c", "-")
	cmd.Stdin = strings.NewReader(xstateSource)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("uml: this processor has AMX, and User-Mode Linux 6.1 runs on it only with a library that a C compiler makes: install the package gcc: %w: %s", err, out)
	} else {
		err = os.Rename(temp.Name(), library) // others may have made it meanwhile
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return "", errors.Join(err, os.Remove(temp.Name()))
	}
	return library, nil
}

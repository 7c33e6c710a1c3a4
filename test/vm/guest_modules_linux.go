package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// wantedModules are loaded when the kernel's module folder has them. Without the
// required ones the machine is of no use.
var (
	requiredModules = []string{"dm-mod", "dm-thin-pool", "loop", "overlay"}
	wantedModules   = []string{
		"crc32c_generic", "dm-flakey", "dm-log-writes", "dm-dust", "dm-delay", "dm-snapshot", "dm-zero",
		"ext4", "xfs", "btrfs", "fuse",
	}
)

// moduleIndex maps a module's name, dashes written as underscores, to its file
// and to the files it needs, as modules.dep lists them.
type moduleIndex struct {
	dir     string
	files   map[string]string
	needs   map[string][]string
	builtin map[string]bool
	loaded  map[string]bool
}

func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

func readModuleIndex(dir string) (*moduleIndex, error) {
	index := &moduleIndex{
		dir: dir, files: map[string]string{}, needs: map[string][]string{},
		builtin: map[string]bool{}, loaded: map[string]bool{},
	}
	deps, err := readLines(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	for _, line := range deps {
		file, needs, _ := strings.Cut(line, ":")
		index.files[moduleName(file)] = file
		index.needs[file] = strings.Fields(needs)
	}
	builtin, err := readLines(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, file := range builtin {
		index.builtin[moduleName(file)] = true
	}
	return index, nil
}

func readLines(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines, scanner.Err()
}

// loadModules loads what the tests of dm-thin need from a kernel's module folder.
func loadModules(dir string) error {
	if dir == "" {
		return nil
	}
	index, err := readModuleIndex(dir)
	if err != nil {
		return fmt.Errorf("read the kernel's list of modules: %w", err)
	}
	for _, name := range wantedModules {
		if file, ok := index.files[moduleName(name)]; ok {
			if err := index.load(file); err != nil {
				return err
			}
		}
	}
	for _, name := range requiredModules {
		file, ok := index.files[moduleName(name)]
		if !ok && !index.builtin[moduleName(name)] {
			return fmt.Errorf("the kernel of %s has no module %s", dir, name)
		}
		if ok {
			if err := index.load(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// load inserts a module after those it needs.
func (x *moduleIndex) load(file string) error {
	if x.loaded[file] {
		return nil
	}
	x.loaded[file] = true
	for _, need := range x.needs[file] {
		if err := x.load(need); err != nil {
			return err
		}
	}
	module, err := os.Open(filepath.Join(x.dir, file))
	if err != nil {
		return err
	}
	defer module.Close()
	var flags int
	if filepath.Ext(file) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(module.Fd()), "", flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load the module %s: %w", file, err)
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// outputFlags are the flags of a test binary that name a file or folder to write.
var outputFlags = map[string]bool{
	"blockprofile": true, "coverprofile": true, "cpuprofile": true, "gocoverdir": true,
	"memprofile": true, "mutexprofile": true, "testlogfile": true, "trace": true,
}

// An output is a file or folder that CMD writes inside the machine and that
// belongs at dest on the host.
type output struct {
	name string // below the folder of redirected files
	dest string
}

// isTestBinary tells whether args look like what `go test -exec` hands over.
func isTestBinary(args []string) bool {
	if strings.HasSuffix(args[0], ".test") {
		return true
	}
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "-test.") {
			return true
		}
	}
	return false
}

// testFlag splits "-test.name=value". Go's own tools always join the two by "=".
func testFlag(arg string) (name, value string, ok bool) {
	arg = strings.TrimPrefix(arg, "-")
	if !strings.HasPrefix(arg, "-test.") && !strings.HasPrefix(arg, "test.") {
		return "", "", false
	}
	name, value, ok = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "test."), "=")
	return name, value, ok
}

// redirectOutputs points every output flag of a test binary into folder, which
// the machine can write, and returns where the files belong afterwards. dir is
// what relative names are relative to.
func redirectOutputs(args []string, dir, folder string) ([]string, []output) {
	if !isTestBinary(args) {
		return args, nil
	}
	outputDir := dir
	for _, arg := range args[1:] {
		if name, value, ok := testFlag(arg); ok && name == "outputdir" && value != "" {
			outputDir = absolute(value, dir)
		}
	}
	redirected := make([]string, len(args))
	copy(redirected, args)
	var outputs []output
	for i, arg := range args[1:] {
		name, value, ok := testFlag(arg)
		if !ok || value == "" || !outputFlags[name] {
			continue
		}
		file := name + "-" + strconv.Itoa(i)
		redirected[i+1] = "-test." + name + "=" + filepath.Join(folder, file)
		base := outputDir
		if name == "testlogfile" || name == "gocoverdir" { // these two ignore -test.outputdir
			base = dir
		}
		outputs = append(outputs, output{name: file, dest: absolute(value, base)})
		if name == "gocoverdir" {
			outputs[len(outputs)-1].name += "/"
		}
	}
	return redirected, outputs
}

// testTimeout is the -test.timeout among args. No such flag means no limit.
func testTimeout(args []string) time.Duration {
	for _, arg := range args[1:] {
		if name, value, ok := testFlag(arg); ok && name == "timeout" {
			if d, err := time.ParseDuration(value); err == nil {
				return d
			}
		}
	}
	return 0
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// makeOutputFolders makes the folders that a test binary expects to exist.
func makeOutputFolders(folder string, outputs []output) error {
	for _, out := range outputs {
		if strings.HasSuffix(out.name, "/") {
			if err := os.Mkdir(filepath.Join(folder, out.name), 0o700); err != nil {
				return fmt.Errorf("make folder for a test's output: %w", err)
			}
		}
	}
	return nil
}

// deliverOutputs copies what CMD wrote to where it belongs. A file that CMD did
// not write is no error: a test that fails early writes no profile.
func deliverOutputs(folder string, outputs []output) error {
	var errs []error
	for _, out := range outputs {
		from := filepath.Join(folder, out.name)
		errs = append(errs, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || entry.IsDir() {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			return copyFile(path, filepath.Join(out.dest, rel))
		}))
	}
	return errors.Join(errs...)
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

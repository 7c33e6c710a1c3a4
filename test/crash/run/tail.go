package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// tailLines and tailBytes bound what is printed of a failed job's log.
const (
	tailLines = 30
	tailBytes = 16 << 10
)

// printTail prints the end of a log, indented. A job that was not begun has none.
func printTail(out io.Writer, path string) (err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-tailBytes), tailBytes))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	fmt.Fprintf(out, "the end of %s:\n", path)
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		fmt.Fprintf(out, "    %s\n", line)
	}
	return nil
}

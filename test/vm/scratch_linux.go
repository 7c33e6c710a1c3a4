package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/veneerdm/veneer/internal/command"
)

// newScratch makes a sparse file of size bytes that holds an empty ext4
// filesystem. The file has no name any more when newScratch returns: it goes
// away with the last process that has it open, however that process ends.
func newScratch(dir string, size int64) (*os.File, error) {
	file, err := os.CreateTemp(dir, "scratch-")
	if err != nil {
		return nil, fmt.Errorf("make the scratch disk: %w", err)
	}
	if err := format(file, size); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func format(file *os.File, size int64) error {
	if err := file.Truncate(size); err != nil {
		return fmt.Errorf("size the scratch disk: %w", err)
	}
	// A sparse file reads as zeros: neither tables nor journal need writing.
	mkfs := command.Program{Name: "mkfs.ext4", Package: "e2fsprogs"}
	if _, err := mkfs.Run(context.Background(), "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", file.Name()); err != nil {
		return fmt.Errorf("format the scratch disk: %w", err)
	}
	return nil
}

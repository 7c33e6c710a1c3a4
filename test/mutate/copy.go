package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// notCopied is large and is no part of the tree.
var notCopied = []string{".git", ".cache", "bin", "out"}

// copyTree copies the regular files and folders of a work tree.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch target := filepath.Join(to, rel); {
		case slices.Contains(notCopied, rel):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case rel == ".":
			return nil
		case entry.IsDir():
			return os.Mkdir(target, 0o755)
		case entry.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		target.Close()
		return err
	}
	return target.Close()
}

package imagestest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/images/layer"
)

// copyTree copies a tree with everything that layers hold, by making a layer of
// it and applying that.
func copyTree(ctx context.Context, from, to string) (err error) {
	empty := filepath.Join(filepath.Dir(to), "empty")
	if err := os.MkdirAll(empty, 0o700); err != nil {
		return err
	}
	nothing, err := openTree(empty)
	if err != nil {
		return err
	}
	defer func() { _ = nothing.Close() }()
	source, err := openTree(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := openTree(to)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := layer.Diff(ctx, nothing, source, w, layer.DiffOptions{})
		w.CloseWithError(err)
		done <- err
	}()
	_, err = layer.Apply(ctx, target, r, layer.ApplyOptions{})
	r.CloseWithError(err)
	if diffErr := <-done; diffErr != nil && !errors.Is(diffErr, io.ErrClosedPipe) {
		return diffErr
	}
	return err
}

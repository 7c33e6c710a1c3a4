package main

import (
	"io"
	"testing"

	"github.com/veneerdm/veneer/test/helptest"
)

func TestHelp(t *testing.T) {
	helptest.Check(t, (&app{}).command(), func(words []string, stdout, stderr io.Writer) int {
		return run(words, nil, stdout, stderr)
	})
}

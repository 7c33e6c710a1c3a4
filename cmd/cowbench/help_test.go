package main

import (
	"testing"

	"github.com/veneerdm/veneer/test/helptest"
)

func TestHelp(t *testing.T) {
	t.Setenv("TMPDIR", "") // it is the default of --store
	helptest.Check(t, (&app{}).command(), run)
}

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMissingPackages(t *testing.T) {
	needs := []need{{"a", "pkg-a extra", "dnf-a"}, {"b", "pkg-b", ""}, {"c", "pkg-c", "dnf-c"}}
	has := func(name string) bool { return name == "c" }
	packages, programs := missingPackages(needs, func(n need) string { return n.apt }, has)
	assert.Equal(t, []string{"pkg-a", "extra", "pkg-b"}, packages)
	assert.Equal(t, []string{"a", "b"}, programs)
	packages, _ = missingPackages(needs, func(n need) string { return n.dnf }, has)
	assert.Equal(t, []string{"dnf-a"}, packages)
}

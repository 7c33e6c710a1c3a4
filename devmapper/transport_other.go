//go:build !linux

package devmapper

import "fmt"

// Open tells that only Linux has a device-mapper.
func Open() (*Client, error) {
	return nil, fmt.Errorf("%w: the device-mapper is part of Linux", ErrNotSupported)
}

// OpenThrough tells the same.
func OpenThrough(func(Transport) Transport) (*Client, error) { return Open() }

//go:build !linux

package dmthin

import "os"

// DirectFile is an ordinary file where there is no device-mapper.
type DirectFile struct{ *os.File }

// OpenDirect opens a file for reading.
func OpenDirect(path string) (*DirectFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &DirectFile{f}, nil
}

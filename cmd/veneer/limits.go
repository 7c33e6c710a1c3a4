package main

import (
	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/internal/bytesize"
)

// limitsConfig is what one layer of an image may do. What is not set has its default;
// -1 means no limit.
type limitsConfig struct {
	Bytes      bytesize.Size `toml:"bytes,omitzero"`
	Entries    int64         `toml:"entries,omitempty"`
	Depth      int           `toml:"depth,omitempty"`
	PathBytes  int           `toml:"path_bytes,omitempty"`
	XattrBytes int           `toml:"xattr_bytes,omitempty"`
	Ratio      int64         `toml:"ratio,omitempty"`
	RatioFloor bytesize.Size `toml:"ratio_floor,omitzero"`
	NoDevices  bool          `toml:"no_devices,omitempty"`
}

func (c limitsConfig) limits() layer.Limits {
	return layer.Limits{
		Bytes: int64(c.Bytes), Entries: c.Entries, Depth: c.Depth, PathBytes: c.PathBytes,
		XattrBytes: c.XattrBytes, Ratio: c.Ratio, RatioFloor: int64(c.RatioFloor), NoDevices: c.NoDevices,
	}
}

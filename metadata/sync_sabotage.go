//go:build sabotage

package metadata

var dropsSync bool

// DropSync has catalogs that are opened afterwards acknowledge transactions before they
// are on the disk. It exists in builds with the tag sabotage alone.
func DropSync(drop bool) { dropsSync = drop }

//go:build sabotage

package metadata

// dropsSync has transactions acknowledged before they are on the disk.
const dropsSync = true

//go:build !sabotage

package metadata

// dropsSync is false but in builds with the tag sabotage, with which tests that cut the
// power prove that they notice a catalog that does not flush.
const dropsSync = false

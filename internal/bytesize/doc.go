// Package bytesize prints and reads numbers of bytes as operators see and type them.
// It is the one form in which the programs of this repository speak of sizes.
//
// Units are binary, after IEC 80000-13: 1 KiB is 1024 bytes. Format rounds to four
// significant digits, for people. Size is an exact value for flags and configuration
// files: what its String prints, Parse reads back unchanged.
//
// Parse takes a decimal number, an optional fraction, an optional space and an
// optional unit: 64KiB, 64k, 1.5G, "10 GB", 1048576. A unit is one of k, m, g, t, p
// and e in either case, alone or followed by b or ib, and binary in each of these
// forms. A fraction of a byte is cut off. What does not fit a file's size (2^63-1
// bytes) is refused and never wraps.
//
// All functions are pure.
package bytesize

// Command veneer keeps container images and containers as thin block snapshots on
// the Linux device-mapper.
//
// It opens the store, does one thing and closes it: commands are short, and what
// was removed is given back before the command ends, or by the next one. Every
// command prints a table, JSON or a template of the reader's own; errors are one
// sentence on standard error, and the exit code says of which class.
package main

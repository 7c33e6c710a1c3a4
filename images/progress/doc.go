// Package progress shows how an image operation goes: as bars on a terminal that
// are drawn over in place, as plain lines anywhere else.
//
// A Printer takes images.Event through its Event method, which fits
// images.Progress. Calls must come one at a time, as package images makes them.
package progress

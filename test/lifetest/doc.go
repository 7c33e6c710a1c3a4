// Package lifetest is what the driver promises, as a model in memory: a [World] of
// snapshots, the operations that change it, and what each of them answers. Tests make
// random lives of it, live them on a driver, and compare.
//
// A World is a value: Apply gives another one. Production code must not import it.
package lifetest

// Package lvmtest runs LVM's commands for tests and demonstrations. Production code
// must not import it.
package lvmtest

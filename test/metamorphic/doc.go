// Package metamorphic lives random lives on the driver, several at once, and compares
// every answer and the store at the end with a model in memory: on the fake machine
// under the race detector, and on the real kernel. A life that goes wrong is made as
// short as it can be and printed as a Go test.
package metamorphic

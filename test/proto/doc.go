// Proto writes the Go code of a .proto file beside it. The file is named by its path from
// the module's folder, where the program runs: generated code is registered under that
// path. It is read with a compiler in Go, and protoc-gen-go and protoc-gen-go-grpc of
// test/tools/proto write the code, so that no protoc has to be installed.
package main

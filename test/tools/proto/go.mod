// What turns service/api/v1/veneer.proto into Go. A module of its own, so that none
// of it becomes a dependency of the program.
module github.com/veneerdm/veneer/test/tools/proto

go 1.26.8

tool (
	google.golang.org/grpc/cmd/protoc-gen-go-grpc
	google.golang.org/protobuf/cmd/protoc-gen-go
)

require (
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

package veneerv1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"

	veneerv1 "github.com/veneerdm/veneer/service/api/v1"
)

const (
	protoFile = "service/api/v1/veneer.proto"
	root      = "../../.."
)

// The Go code is that of the .proto file as it is, methods and all.
func TestTheCodeIsThatOfTheProtoFile(t *testing.T) {
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}})}
	files, err := compiler.Compile(t.Context(), protoFile)
	require.NoError(t, err)
	want := protodesc.ToFileDescriptorProto(files[0])
	have := protodesc.ToFileDescriptorProto(veneerv1.File_service_api_v1_veneer_proto)
	assert.Equal(t, prototext.Format(want), prototext.Format(have), `veneer.proto has changed since its code was written; run "make proto"`)

	service := veneerv1.File_service_api_v1_veneer_proto.Services().ByName("Veneer")
	require.NotNil(t, service)
	streams := map[string]bool{}
	for _, m := range veneerv1.Veneer_ServiceDesc.Methods {
		streams[m.MethodName] = false
	}
	for _, s := range veneerv1.Veneer_ServiceDesc.Streams {
		streams[s.StreamName] = true
	}
	assert.Len(t, streams, service.Methods().Len(), `the service has other methods; run "make proto"`)
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		streaming, ok := streams[string(m.Name())]
		assert.True(t, ok, "%s is not in the code", m.Name())
		assert.Equal(t, m.IsStreamingClient() || m.IsStreamingServer(), streaming, "%s", m.Name())
	}
}

// The programs that wrote the code are those that test/tools/proto pins.
func TestTheCodeIsOfThePinnedGenerators(t *testing.T) {
	pinned, err := os.ReadFile(filepath.Join(root, "test/tools/proto/go.mod"))
	require.NoError(t, err)
	for file, generator := range map[string]struct{ module, name string }{
		"veneer.pb.go":      {"google.golang.org/protobuf", "protoc-gen-go"},
		"veneer_grpc.pb.go": {"google.golang.org/grpc/cmd/protoc-gen-go-grpc", "protoc-gen-go-grpc"},
	} {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		head, _, _ := strings.Cut(string(code), "\npackage ")
		wrote := regexp.MustCompile(`(?m)\s` + generator.name + ` (v\S+)$`).FindStringSubmatch(head)
		require.NotNil(t, wrote, "%s does not say which %s wrote it", file, generator.name)
		assert.Contains(t, string(pinned), "\t"+generator.module+" "+wrote[1], `%s was written by %s; run "make proto"`, file, wrote[0])
	}
}

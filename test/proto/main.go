package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	tools := flag.String("tools", "bin/proto", "folder of the two programs that write the code")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "proto: say which .proto file")
		os.Exit(2)
	}
	if err := generate(context.Background(), *tools, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "proto:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, tools, file string) error {
	request, err := compile(ctx, file)
	if err != nil {
		return err
	}
	for _, tool := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := run(filepath.Join(tools, tool), request); err != nil {
			return err
		}
	}
	return nil
}

// compile reads the file and what it imports. Comments come along: they become those of
// the Go code.
func compile(ctx context.Context, file string) (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, file)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{file}, Parameter: new("paths=source_relative"),
	}
	for _, f := range files {
		for i := range f.Imports().Len() {
			request.ProtoFile = append(request.ProtoFile, protodesc.ToFileDescriptorProto(f.Imports().Get(i).FileDescriptor))
		}
		described, ok := f.(interface {
			FileDescriptorProto() *descriptorpb.FileDescriptorProto
		})
		if !ok {
			return nil, fmt.Errorf("the compiler gave no description of %s", f.Path())
		}
		request.ProtoFile = append(request.ProtoFile, described.FileDescriptorProto())
	}
	return request, nil
}

// run has a generator make its files, and writes them beside the .proto file.
func run(tool string, request *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	var out, said bytes.Buffer
	cmd := exec.Command(tool)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %q", tool, err, said.String())
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out.Bytes(), &response); err != nil {
		return fmt.Errorf("%s: %w", tool, err)
	}
	if response.Error != nil {
		return errors.New(tool + ": " + response.GetError())
	}
	for _, f := range response.GetFile() {
		if err := os.WriteFile(f.GetName(), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

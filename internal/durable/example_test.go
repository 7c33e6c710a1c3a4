package durable_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/internal/durable"
)

func Example() {
	dir, err := os.MkdirTemp("", "durable")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "result")
	err = durable.WriteFile(path, 0o600, func(f *os.File) error {
		_, err := f.WriteString("whole or not there")
		return err
	})
	text, readErr := os.ReadFile(path)
	fmt.Println(string(text), err, readErr)
	fmt.Println(durable.Rename(path, path+".old"), durable.Remove(path+".old"))
	// Output:
	// whole or not there <nil> <nil>
	// <nil> <nil>
}

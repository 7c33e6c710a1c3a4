package policy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/veneerdm/veneer"

// A goFile is one parsed file of this module.
type goFile struct {
	path  string // relative to the module's root, with slashes
	dir   string // the package's path inside the module
	ast   *ast.File
	lines int
}

// isGenerated tells files that a program has written.
func (f goFile) isGenerated() bool { return ast.IsGenerated(f.ast) }

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// isTestKit tells packages made for tests, here or in other people's programs.
func isTestKit(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

// isForTests tells files that never become part of a program that is installed.
func (f goFile) isForTests() bool {
	return f.isTest() || isTestKit(f.dir) || f.dir == "test" || strings.HasPrefix(f.dir, "test/")
}

// imports lists what a file imports, with where.
func (f goFile) imports() map[string]token.Pos {
	found := map[string]token.Pos{}
	for _, spec := range f.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			found[name] = spec.Pos()
		}
	}
	return found
}

var (
	fileSet = token.NewFileSet()
	rootDir = sync.OnceValues(func() (string, error) {
		out, err := exec.Command("go", "env", "GOMOD").Output()
		return filepath.Dir(strings.TrimSpace(string(out))), err
	})
	parsed = sync.OnceValues(parseModule)
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := rootDir()
	require.NoError(t, err)
	return dir
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	files, err := parsed()
	require.NoError(t, err)
	return files
}

// eachFile visits the files that belong to the repository: neither what was built
// or fetched, nor other modules inside it.
func eachFile(visit func(rel, full string) error) error {
	top, err := rootDir()
	if err != nil {
		return err
	}
	return filepath.WalkDir(top, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, full)
		if err != nil {
			return err
		}
		if rel == ".git" && !entry.IsDir() {
			return nil // in another work tree of the repository
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin", "out"}, rel) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		return visit(filepath.ToSlash(rel), full)
	})
}

func parseModule() ([]goFile, error) {
	var files []goFile
	err := eachFile(func(rel, full string) error {
		if path.Ext(rel) != ".go" || strings.Contains(rel, "testdata/") || strings.HasPrefix(rel, "test/tools/") {
			return nil
		}
		data, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fileSet, rel, data, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, goFile{
			path: rel, dir: path.Dir(rel), ast: tree, lines: strings.Count(string(data), "\n"),
		})
		return nil
	})
	return files, err
}

// packages lists the folders that hold Go files other than tests.
func packages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, file := range goFiles(t) {
		if !file.isTest() {
			dirs = append(dirs, file.dir)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// at is a position for a message.
func at(pos token.Pos) string { return fileSet.Position(pos).String() }

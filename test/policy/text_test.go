package policy

import (
	"bytes"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// longestFile is the hard limit. Most files should stay near 300 lines.
const longestFile = 450

func TestFilesAreShort(t *testing.T) {
	for _, file := range goFiles(t) {
		if file.isGenerated() {
			continue
		}
		assert.LessOrEqual(t, file.lines, longestFile, "%s: split it: one noun or one verb a file", file.path)
	}
}

func TestEachPackageIsDocumentedOnce(t *testing.T) {
	where := map[string][]string{}
	for _, file := range goFiles(t) {
		if file.ast.Doc != nil && !file.isTest() {
			where[file.dir] = append(where[file.dir], path.Base(file.path))
		}
	}
	for _, dir := range packages(t) {
		if strings.Contains(dir, "internal") || isTestKit(dir) {
			assert.Len(t, where[dir], 1, "%s: one file has the package comment", dir)
			continue
		}
		assert.Equal(t, []string{"doc.go"}, where[dir], "%s: the package comment belongs in doc.go, and nowhere else", dir)
	}
}

// TestEachPackageHasAnExample is about the packages that other programs import.
func TestEachPackageHasAnExample(t *testing.T) {
	has := map[string]bool{}
	program := map[string]bool{}
	for _, file := range goFiles(t) {
		if file.ast.Name.Name == "main" {
			program[file.dir] = true
		}
		for _, name := range functionNames(file) {
			if file.isTest() && strings.HasPrefix(name, "Example") {
				has[file.dir] = true
			}
		}
	}
	for _, dir := range packages(t) {
		if program[dir] || isTestKit(dir) || strings.Contains(dir, "internal") || strings.HasPrefix(dir, "test/") {
			continue
		}
		assert.True(t, has[dir], "%s: an Example shows how the package is used", dir)
	}
}

// forbiddenText is looked for in every text file. The expressions are written so
// that they do not match themselves.
var forbiddenText = []struct {
	why  string
	expr *regexp.Regexp
}{
	{"no file names a package registry: the tools know where theirs is",
		regexp.MustCompile(`(?i)\b(proxy|sum|registry(-\d)?|static|files|deb|archive|security|mirrors?|pypi|rubygems)\.[a-z]+[a-z.]*\.?(org|com|io|net)\b`)},
	{"no path of one person's machine is in the tree",
		regexp.MustCompile(`(^|[\s"'=(:])/(work/(main|shared)|tmp/team|home/[a-z]+/|root/(go|src)/|Users/)`)},
	{"no work is left undone in the tree", regexp.MustCompile(`\b(T[O]DO|F[I]XME|X[X]X)\b`)},
}

// exampleHost is what documentation may name.
var exampleHost = regexp.MustCompile(`(?i)example\.(org|com|net|io)$`)

func TestTextIsFreeOf(t *testing.T) {
	err := eachFile(func(rel, full string) error {
		if path.Base(rel) == "go.sum" || strings.Contains(rel, "testdata/") {
			return nil
		}
		data, err := os.ReadFile(full)
		if err != nil || bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) {
			return err
		}
		number := 0
		for text := range strings.Lines(string(data)) {
			number++
			for _, forbidden := range forbiddenText {
				for _, found := range forbidden.expr.FindAllString(strings.TrimRight(text, "\n"), -1) {
					if !exampleHost.MatchString(found) {
						assert.Fail(t, forbidden.why, "%s:%d: %s", rel, number, found)
					}
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
}

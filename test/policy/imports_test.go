package policy

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// arrows says which of our own packages each package may import. A name stands
// for the packages below it too, unless they have a line of their own; packages
// of one line may import each other. Test kits are nobody's but the tests'.
var arrows = map[string][]string{
	"internal/ioctl":       {},
	"internal/keylock":     {},
	"internal/durable":     {},
	"internal/command":     {},
	"internal/bytesize":    {},
	"devmapper":            {},
	"metadata/dmthin":      {},
	"class":                {"devmapper", "internal/command"},
	"loopback":             {"internal/durable"},
	"lifecycle":            {},
	"metadata":             {"class", "lifecycle", "metadata/dmthin", "internal/durable"},
	"thinpool":             {"class", "devmapper", "metadata/dmthin"},
	"snapshots/filesystem": {"class", "internal/ioctl", "internal/command"},
	"snapshots/disk":       {"class", "thinpool", "metadata", "devmapper", "loopback", "internal/command"},
	"snapshots":            {"snapshots/filesystem", "snapshots/disk", "class", "lifecycle", "thinpool", "metadata", "metadata/dmthin", "devmapper", "loopback", "internal/ioctl", "internal/keylock", "internal/durable", "internal/command", "internal/bytesize"},
	"images":               {"class", "snapshots", "snapshots/filesystem", "metadata/dmthin", "internal/keylock", "internal/durable", "internal/bytesize"},
	"service/api":          {},
	"service":              {"class", "service/api", "snapshots", "images", "thinpool", "metadata", "metadata/dmthin"},
	"bench":                {"bench/stats"},
	"bench/stats":          {},
	"bench/tool":           {"internal/command"},
	"bench/disk":           {"bench", "bench/tool", "devmapper", "loopback", "internal/bytesize"},
	"bench/backend":        {"bench", "bench/tool", "snapshots", "snapshots/filesystem", "thinpool", "metadata", "devmapper", "internal/ioctl", "internal/command", "internal/bytesize"},
	"bench/scenario":       {"bench", "bench/tool", "snapshots"},
	"bench/report":         {"bench", "bench/stats"},
	"cmd":                  {"class", "lifecycle", "bench", "bench/backend", "bench/disk", "bench/report", "bench/scenario", "bench/tool", "service", "images", "snapshots", "snapshots/filesystem", "thinpool", "metadata", "metadata/dmthin", "devmapper", "loopback", "internal/durable", "internal/command", "internal/bytesize"},
	"test":                 {"class", "lifecycle", "bench", "service", "images", "snapshots", "snapshots/filesystem", "snapshots/disk", "thinpool", "metadata", "metadata/dmthin", "devmapper", "loopback"},
}

// planned are the names in arrows and walls that have no code yet. A name leaves
// this list with its first file.
var planned = []string{}

// A wall keeps a package of others in the few places that may import it. The
// places are patterns of path.Match over a file's path; "**" at the end of one
// stands for everything below.
type wall struct {
	pkg    string
	why    string
	places []string
}

var walls = []wall{
	{"unsafe", "memory is handed to the kernel in very few places", []string{
		"devmapper/internal/uapi/**", "devmapper/transport*.go", "internal/ioctl/*_linux.go",
		"service/api/**", // protoc-gen-go writes a descriptor as a string
	}},
	{"golang.org/x/sys/unix", "what is Linux's own is kept in small files that say so", []string{
		"devmapper/internal/uapi/**", "devmapper/transport*.go", "loopback/**", "**_linux.go", "**_test.go",
	}},
	{"os/exec", "internal/command runs the tools that have no other form", []string{
		"internal/command/**",
		"cmd/veneer/exec.go", "cmd/veneer/exec_linux.go", "bench/tool/**", "test/**", "**_test.go", "snapshots/snapstest/**",
	}},
	{"github.com/freddierice/go-losetup/v2", "loopback guards against what it gets wrong", []string{"loopback/**"}},
	{"go.etcd.io/bbolt", "the catalog's file format is the catalog's own", []string{"metadata/**"}},
	{"github.com/sirupsen/logrus", "libraries return errors and do not talk", []string{
		"cmd/**", "snapshots/*.go", "service/*.go", "bench/**",
	}},
	{"github.com/spf13/cobra", "only commands have command lines", []string{"cmd/**", "test/helptest/**"}},
	{"github.com/BurntSushi/toml", "only commands have configuration files", []string{"cmd/**", "test/**"}},
	{"github.com/google/go-containerregistry/pkg/v1", "images know registries, snapshots do not", []string{
		"images/**", "cmd/**", "bench/**", "test/**", "**_test.go",
	}},
	{"github.com/containerd/containerd/v2/core/snapshots", "the driver stands without containerd", []string{
		"snapshots/proxy/**", "cmd/**", "test/**", "**_test.go",
	}},
	{"github.com/stretchr/testify/require", "assertions are for tests", []string{"**_test.go", "**test/**", "test/**"}},
	{"github.com/stretchr/testify/assert", "assertions are for tests", []string{"**_test.go", "**test/**", "test/**"}},
	{"testing", "test helpers are for tests", []string{"**_test.go", "**test/**", "test/**"}},
}

// allows tells whether a file lies in one of the wall's places.
func (w wall) allows(file string) bool {
	return slices.ContainsFunc(w.places, func(place string) bool { return matches(place, file) })
}

func matches(place, file string) bool {
	if middle, ok := strings.CutPrefix(place, "**"); ok {
		if folder, ok := strings.CutSuffix(middle, "/**"); ok {
			return strings.Contains("/"+file, folder+"/") && strings.HasSuffix(folder, "test")
		}
		return strings.HasSuffix("/"+file, middle)
	}
	if folder, ok := strings.CutSuffix(place, "/**"); ok {
		return strings.HasPrefix(file, folder+"/")
	}
	ok, err := path.Match(place, file)
	return err == nil && ok
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		place, file string
		want        bool
	}{
		{"loopback/**", "loopback/attach.go", true},
		{"loopback/**", "loopbacks/attach.go", false},
		{"**_linux.go", "a/b_linux.go", true},
		{"**_linux.go", "a/linux.go", false},
		{"**/lvm.go", "thinpool/lvm.go", true},
		{"**/lvm.go", "thinpool/llvm.go", false},
		{"**test/**", "devmapper/dmtest/fake.go", true},
		{"**test/**", "devmapper/fake.go", false},
		{"snapshots/*.go", "snapshots/a.go", true},
		{"snapshots/*.go", "snapshots/proxy/a.go", false},
	} {
		assert.Equal(t, c.want, matches(c.place, c.file), "%s %s", c.place, c.file)
	}
}

// line is the name under which arrows speaks of a package, the longest that fits.
func line(dir string) string {
	for name := dir; name != "."; name = path.Dir(name) {
		if _, ok := arrows[name]; ok {
			return name
		}
	}
	return ""
}

func TestArrowsGoOneWay(t *testing.T) {
	for _, file := range goFiles(t) {
		from := line(file.dir)
		if !assert.NotEmpty(t, from, "%s: the package is not in arrows: decide what it may import", file.path) {
			continue
		}
		for imported, pos := range file.imports() {
			dir, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			to := line(dir)
			switch {
			case to == "cmd" && file.dir != dir:
				assert.Fail(t, "nothing imports a command", "%s: %s", at(pos), imported)
			case isTestKit(dir):
				assert.True(t, file.isForTests(), "%s: %s is for tests alone", at(pos), imported)
			case file.isForTests() || from == to:
			default:
				assert.Contains(t, arrows[from], to, "%s: %s may not import %s", at(pos), from, imported)
			}
		}
	}
}

func TestWallsHold(t *testing.T) {
	for _, file := range goFiles(t) {
		imports := file.imports()
		for _, w := range walls {
			for imported, pos := range imports {
				if imported == w.pkg || strings.HasPrefix(imported, w.pkg+"/") && strings.Contains(w.pkg, ".") {
					assert.True(t, w.allows(file.path), "%s: %s may not be imported here: %s", at(pos), imported, w.why)
				}
			}
		}
	}
}

func TestRulesAreAboutWhatExists(t *testing.T) {
	dirs := packages(t)
	exists := func(name string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return dir == name || strings.HasPrefix(dir, name+"/") })
	}
	used := map[string]bool{}
	for _, file := range goFiles(t) {
		for imported := range file.imports() {
			used[imported] = true
		}
	}
	for name, targets := range arrows {
		for _, each := range append([]string{name}, targets...) {
			assert.True(t, exists(each) || slices.Contains(planned, each), "arrows names %s, which does not exist", each)
		}
	}
	var outside []string
	for _, w := range walls {
		if !slices.Contains(planned, w.pkg) {
			outside = append(outside, w.pkg)
		}
	}
	args := append([]string{"list", "-e", "-find", "-f", "{{if .Error}}{{.ImportPath}}{{end}}"}, outside...)
	list := exec.Command("go", args...)
	list.Dir = root(t)
	missing, err := list.Output()
	require.NoError(t, err)
	assert.Empty(t, strings.Fields(string(missing)), "walls are built around packages that do not exist")
	for _, name := range planned {
		assert.False(t, exists(name) || used[name], "%s exists by now: take it out of planned", name)
	}
}

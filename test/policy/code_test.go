package policy

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/veneerdm/veneer/snapshots/filesystem"
)

func functionNames(file goFile) []string {
	var names []string
	for _, decl := range file.ast.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// eachCall visits every call of the form x.name(...), with x as written.
func eachCall(t *testing.T, visit func(file goFile, call *ast.CallExpr, x, name string)) {
	t.Helper()
	for _, file := range goFiles(t) {
		ast.Inspect(file.ast, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := selector.X.(*ast.Ident); ok {
					visit(file, call, x.Name, selector.Sel.Name)
				}
			}
			return true
		})
	}
}

// text is the value of a string literal, or of literals joined by +.
func text(expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		value, err := strconv.Unquote(e.Value)
		return value, err == nil
	case *ast.BinaryExpr:
		left, ok := text(e.X)
		right, _ := text(e.Y)
		return left + right, ok && e.Op == token.ADD
	}
	return "", false
}

var verb = regexp.MustCompile(`%[-+# 0]*(\[\d+\])?[\d.*]*([a-zA-Z%])`)

// looksLikeError goes by the names that this repository gives errors.
func looksLikeError(expr ast.Expr) bool {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name == "err" || strings.HasSuffix(e.Name, "Err") || strings.HasPrefix(e.Name, "Err")
	case *ast.SelectorExpr:
		return e.Sel.Name == "Err" || strings.HasPrefix(e.Sel.Name, "Err")
	case *ast.CallExpr:
		selector, ok := e.Fun.(*ast.SelectorExpr)
		return ok && (selector.Sel.Name == "Err" || selector.Sel.Name == "Error" && len(e.Args) == 0)
	}
	return false
}

func TestErrorsAreWrapped(t *testing.T) {
	eachCall(t, func(file goFile, call *ast.CallExpr, x, name string) {
		if x != "fmt" || name != "Errorf" || len(call.Args) < 2 {
			return
		}
		format, ok := text(call.Args[0])
		if !ok {
			return
		}
		args := call.Args[1:]
		for _, found := range verb.FindAllStringSubmatch(format, -1) {
			if found[2] == "%" {
				continue
			}
			if len(args) == 0 {
				break
			}
			assert.False(t, found[2] != "w" && looksLikeError(args[0]), "%s: an error is wrapped by %%w, not printed by %%%s", at(args[0].Pos()), found[2])
			args = args[1:]
		}
	})
}

func TestMessagesSayWhatWentWrong(t *testing.T) {
	eachCall(t, func(file goFile, call *ast.CallExpr, x, name string) {
		if x == "fmt" && name == "Errorf" || x == "errors" && name == "New" {
			message, _ := text(call.Args[0])
			lower := strings.ToLower(message)
			for _, empty := range []string{"failed to", "unable to", "error while"} {
				assert.NotContains(t, lower, empty, "%s: say what, which and why", at(call.Pos()))
			}
		}
	})
}

func TestNobodySleeps(t *testing.T) {
	eachCall(t, func(file goFile, call *ast.CallExpr, x, name string) {
		assert.False(t, x == "time" && name == "Sleep", "%s: wait for what is to happen, with a bound", at(call.Pos()))
	})
}

// A test waits for an event, and how long that takes is the machine's business: the bound
// of a hang is waittest's. Where a wait is about time itself, testing/synctest has a clock
// for it, or a context of milliseconds is meant to end.
func TestNoTestRacesTheClock(t *testing.T) {
	clocks := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Tick"}
	waits := []string{"Eventually", "Eventuallyf", "EventuallyWithT", "EventuallyWithTf", "Never", "Neverf"}
	long := []string{"Second", "Minute", "Hour"}
	eachCall(t, func(file goFile, call *ast.CallExpr, x, name string) {
		_, synctest := file.imports()["testing/synctest"]
		if !file.isTest() || synctest || file.dir == "test/waittest" {
			return
		}
		at := at(call.Pos())
		assert.False(t, x == "time" && slices.Contains(clocks, name), "%s: time.%s: wait for what is to happen, with waittest", at, name)
		assert.False(t, (x == "assert" || x == "require") && slices.Contains(waits, name), "%s: %s.%s: use waittest.Until", at, x, name)
		if x == "context" && (name == "WithTimeout" || name == "WithTimeoutCause") {
			ast.Inspect(call.Args[1], func(node ast.Node) bool {
				unit, ok := node.(*ast.SelectorExpr)
				assert.False(t, ok && slices.Contains(long, unit.Sel.Name), "%s: a bound of a hang is waittest.Hang", at)
				return true
			})
		}
	})
}

// skips are the reasons that a test may give for not running. Inside the virtual
// machine a missing feature is a failure.
var skips = []string{
	"needs the VM: make test-vm",
	"needs root",
	"needs Linux 5.19, and seccomp(2) allowed",
	"needs a kernel of its own: make test-vm with User-Mode Linux",
	"boots a VM, and is in one",
}

func TestSkipsHaveAKnownReason(t *testing.T) {
	eachCall(t, func(file goFile, call *ast.CallExpr, x, name string) {
		switch {
		case !file.isForTests() || len(x) > 2:
		case name == "SkipNow" || name == "Skipf":
			assert.Fail(t, "a skip gives its reason as one constant", "%s", at(call.Pos()))
		case name == "Skip" && len(call.Args) > 0:
			reason, _ := text(call.Args[0])
			ok := slices.Contains(skips, reason) || file.dir == "test/vm" && strings.HasPrefix(reason, "needs ")
			assert.True(t, ok, "%s: the reasons to skip are %q, and %q is none", at(call.Pos()), skips, reason)
		}
	})
}

// replaced are tools whose work this repository does itself.
var replaced = map[string]bool{"dmsetup": true, "losetup": true, "blkid": true, "mount": true, "umount": true, "findmnt": true}

func TestToolsAreNotRun(t *testing.T) {
	for _, file := range goFiles(t) {
		if file.isForTests() {
			continue
		}
		ast.Inspect(file.ast, func(node ast.Node) bool {
			literal, ok := node.(*ast.CompositeLit)
			if !ok || !isProgram(literal.Type) {
				return true
			}
			for _, element := range literal.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok {
					element = pair.Value
				}
				tool, _ := text(element)
				assert.False(t, replaced[tool], "%s: %s is run, where an ioctl or a system call would do", at(literal.Pos()), tool)
			}
			return true
		})
	}
	eachCall(t, func(file goFile, call *ast.CallExpr, x, name string) {
		if x != "exec" && x != "command" || file.isForTests() {
			return
		}
		for _, arg := range call.Args {
			tool, _ := text(arg)
			assert.False(t, replaced[tool], "%s: %s is run, where an ioctl or a system call would do", at(arg.Pos()), tool)
		}
	})
}

// isProgram tells the type command.Program.
func isProgram(expr ast.Expr) bool {
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == "command" && selector.Sel.Name == "Program"
}

var emptyWords = regexp.MustCompile(`(Manager|Helper|Util|Utils)$`)

func TestNamesMeanSomething(t *testing.T) {
	for _, file := range goFiles(t) {
		ast.Inspect(file.ast, func(node ast.Node) bool {
			if spec, ok := node.(*ast.TypeSpec); ok {
				assert.NotRegexp(t, emptyWords, spec.Name.Name, at(spec.Pos()))
			}
			return true
		})
		assert.NotRegexp(t, regexp.MustCompile(`(^|/)(util|utils|common|helpers?|misc)$`), file.dir)
	}
}

// filesystemsOfTheBench may be named where the benchmark formats disks of its own.
var filesystemsOfTheBench = []string{
	"bench/backend/aufs_linux.go", "bench/backend/base_linux.go", "bench/backend/copy_linux.go",
	"bench/backend/fuseoverlay_linux.go", "bench/backend/overlay_linux.go", "bench/disk/source_linux.go",
}

// Everything that a kind of filesystem means is in one package: whoever compares names
// has to be found when there is another kind.
func TestFilesystemsAreNamedInOnePlace(t *testing.T) {
	names, seen := filesystem.Names(), map[string]bool{}
	for _, file := range goFiles(t) {
		if file.isForTests() || file.dir == "snapshots/filesystem" {
			continue
		}
		ast.Inspect(file.ast, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok {
				return true
			}
			if name, _ := text(literal); slices.Contains(names, name) {
				seen[file.path] = true
				assert.Contains(t, filesystemsOfTheBench, file.path, "%s: package filesystem knows what %s means", at(literal.Pos()), name)
			}
			return true
		})
	}
	for _, path := range filesystemsOfTheBench {
		assert.True(t, seen[path], "%s names no filesystem by now: take it out of the list", path)
	}
}

package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/test/waittest"
)

// What cannot be done to images and containers as they are.
func TestImpossibleRequestsAreRefused(t *testing.T) {
	p := newProgramWithPool(t)
	lower, upper := twoLayers()
	app := layoutOf(t, "app:1", on(t, scratchImage(t), small(t, lower...), small(t, upper...)))
	p.do(t, "image", "import", "oci:"+app)
	// Two images whose digests begin with the same four digits are found in no time.
	twins := p.importTwins(t)
	p.do(t, "container", "create", "app:1", "--name", "box")
	p.do(t, "container", "create", "app:1", "--name", "busy")
	mnt := filepath.Join(p.dir, "mnt")
	require.NoError(t, os.Mkdir(mnt, 0o755))
	p.do(t, "container", "mount", "busy", mnt)
	p.mounted = true
	defer p.do(t, "container", "umount", "busy")
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "text"), []byte("hello"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(p.dir, "folder"), 0o755))

	p.refusesEach(t, []refusal{
		{"unknown image", []string{"image", "rm", "redis"}, exitNotFound, []string{`"redis"`, "veneer image ls"}},
		{"unknown image, by digest", []string{"image", "history", "sha256:0123456789abcdef"}, exitNotFound, []string{"0123456789abcdef"}},
		{"unknown image for a container", []string{"container", "create", "redis:7"}, exitNotFound, []string{`"redis:7"`}},
		{"unknown image to be saved", []string{"image", "save", "redis", "-o", filepath.Join(p.dir, "out.tar")}, exitNotFound, []string{`"redis"`}},
		{"unknown image to be pushed", []string{"image", "push", "redis"}, exitNotFound, []string{`"redis"`}},
		{"ambiguous digits", []string{"image", "rm", twins}, exitUsage, []string{twins, "twin-a", "twin-b", "more digits"}},
		{"malformed reference", []string{"container", "create", "App:1"}, exitUsage, []string{`"App:1"`, "nginx:1.27"}},
		{"malformed reference to be pulled", []string{"image", "pull", "http://example.com/x"}, exitUsage, []string{`"http://example.com/x"`}},
		{"malformed name for a commit", []string{"container", "commit", "box", "a b"}, exitUsage, []string{`"a b"`}},
		{"malformed name for an import", []string{"image", "import", "oci:" + app, "--name", "UPPER"}, exitUsage, []string{`"UPPER"`}},
		{"malformed platform", []string{"image", "import", "oci:" + app, "--platform", "linux"}, exitUsage, []string{`"linux"`}},
		{"other platform", []string{"image", "import", "oci:" + app, "--platform", "plan9/mips"}, exitNotFound, []string{"plan9/mips"}},
		{"source that is not there", []string{"image", "import", "./nothing.tar"}, exitNotFound, []string{`"./nothing.tar"`}},
		{"layout that is not there", []string{"image", "import", "oci:nothing"}, exitNotFound, []string{`"nothing"`}},
		{"layout without that image", []string{"image", "import", "oci:" + app + ":2"}, exitNotFound, []string{`"2"`, "app:1"}},
		{"source that is text", []string{"image", "import", "./text"}, exitFailure, []string{"text", "not a tar"}},
		{"source that is any folder", []string{"image", "import", "./folder"}, exitFailure, []string{"folder", "index.json"}},

		{"image in use", []string{"image", "rm", "app:1"}, exitInUse, []string{"app:1", "box"}},
		{"mounted container", []string{"container", "rm", "busy"}, exitInUse, []string{"busy", mnt, "--force"}},
		{"mounted container among others", []string{"container", "rm", "busy", "box"}, exitInUse, []string{"busy", mnt}},
		{"unknown container", []string{"container", "rm", "nobody"}, exitNotFound, []string{`"nobody"`, "veneer container ls"}},
		{"container's name that is taken", []string{"container", "create", "app:1", "--name", "box"}, exitInUse, []string{`"box"`, "already"}},
		{"container's name that is none", []string{"container", "create", "app:1", "--name", "a/b"}, exitUsage, []string{`"a/b"`}},
		{"clone to a name that is taken", []string{"container", "clone", "box", "busy"}, exitInUse, []string{`"busy"`, "already"}},
		{"rollback to nobody", []string{"container", "rollback", "box", "--to", "nobody"}, exitNotFound, []string{`"nobody"`}},
		{"smaller disk", []string{"container", "resize", "box", "64M"}, exitUsage, []string{"box", "shrink"}},
		{"disk of no size", []string{"container", "resize", "box", "much"}, exitUsage, []string{`"much"`}},
		{"commit of an unknown instruction", []string{"container", "commit", "box", "new:1", "--change", "RUN make"}, exitUsage, []string{"RUN"}},
		{"mount on nothing", []string{"container", "mount", "box", filepath.Join(p.dir, "nowhere")}, exitNotFound, []string{"nowhere", "make it first"}},
		{"unmount of what is not mounted", []string{"container", "umount", "box"}, exitNotFound, []string{"box", "not mounted"}},
		{"command that is not there", []string{"container", "exec", "box", "nothing-like-it"}, 127, []string{`"nothing-like-it"`}},
		{"command that is not there, behind a mark", []string{"container", "exec", "box", "--", "nothing-like-it"}, 127, []string{`"nothing-like-it"`}},
		{"user that is no number", []string{"container", "exec", "--user", "ann", "box", "sh"}, exitUsage, []string{`"ann"`, "uid"}},

		{"second pool", []string{"pool", "create"}, exitInUse, []string{p.root, p.pool()}},
		{"smaller pool", []string{"pool", "grow", "--size", "512M"}, exitUsage, []string{"shrinks"}},
		{"pool grown by nothing", []string{"pool", "grow"}, exitUsage, []string{"--size"}},
		{"destruction without a yes", []string{"pool", "destroy", p.pool()}, exitUsage, []string{p.pool(), "--yes"}},
		{"destruction of another pool", []string{"pool", "destroy", "other", "--yes"}, exitUsage, []string{`"other"`, p.pool()}},
		{"destruction of a mounted container", []string{"pool", "destroy", p.pool(), "--yes"}, exitInUse, []string{"unmount"}},
		{"deactivation of a mounted container", []string{"pool", "deactivate"}, exitInUse, []string{"unmount"}},
	})
}

// importTwins imports two images whose IDs begin with the same digits, and gives those.
func (p *program) importTwins(t *testing.T) (digits string) {
	t.Helper()
	seen := map[string]string{}
	base := on(t, scratchImage(t), small(t, file("twin", "twin")))
	for n := 0; ; n++ {
		img := withCommand(t, base, strconv.Itoa(n))
		id, err := img.ConfigName()
		require.NoError(t, err)
		other, ok := seen[id.Hex[:4]]
		if !ok {
			seen[id.Hex[:4]] = strconv.Itoa(n)
			continue
		}
		p.do(t, "image", "import", "oci:"+layoutOf(t, "twin-a:1", withCommand(t, base, other)))
		p.do(t, "image", "import", "oci:"+layoutOf(t, "twin-b:1", img))
		return id.Hex[:4]
	}
}

// A second process is told at once who has the store, by its number.
func TestALockedStoreNamesWhoHasIt(t *testing.T) {
	p := newProgramWithPool(t)
	catalog, err := metadata.Open(filepath.Join(p.root, "catalog.db"), metadata.Options{MustExist: true})
	require.NoError(t, err)
	says := []string{filepath.Join(p.root, "catalog.db"), "process " + strconv.Itoa(os.Getpid()), "wait until it ends"}
	p.refusesEach(t, []refusal{
		{"images", []string{"image", "ls"}, exitInUse, says},
		{"a new container", []string{"container", "create", "app:1"}, exitInUse, says},
		{"destruction", []string{"pool", "destroy", p.pool(), "--yes"}, exitInUse, says},
		{"a second pool", []string{"pool", "create"}, exitInUse, says},
		{"doctor", []string{"doctor"}, exitInUse, says},
		{"doctor at work", []string{"doctor", "--fix"}, exitInUse, says},
	})
	require.NoError(t, catalog.Close())
	p.do(t, "image", "ls")
}

// Without its catalog nobody knows what the pool's devices hold. Nothing is guessed,
// and the doctor makes one of what is certain only when told to.
func TestALostCatalogIsReported(t *testing.T) {
	p := newProgramWithPool(t)
	p.do(t, "image", "import", "oci:"+layoutOf(t, "app:1", on(t, scratchImage(t), small(t, file("a", "a")))))
	p.do(t, "container", "create", "app:1", "--name", "box")
	catalog, aside := filepath.Join(p.root, "catalog.db"), filepath.Join(p.dir, "aside.db")
	require.NoError(t, os.Rename(catalog, aside))
	says := []string{catalog, p.pool(), "put the catalog back"}
	p.refusesEach(t, []refusal{
		{"images", []string{"image", "ls"}, exitPool, says},
		{"a new container", []string{"container", "create", "app:1"}, exitPool, says},
		{"destruction", []string{"pool", "destroy", p.pool(), "--yes"}, exitPool, says},
		{"a new pool of the same name", []string{"pool", "create", "--name", p.pool()}, exitInUse, []string{p.pool()}},
	})
	// A file that is none is not taken for one.
	require.NoError(t, os.WriteFile(catalog, []byte(strings.Repeat("no catalog ", 1000)), 0o600))
	p.refuses(t, refusal{"not a catalog", []string{"image", "ls"}, exitPool, []string{catalog, "copy"}})
	require.NoError(t, os.Rename(aside, catalog))
	assert.Equal(t, "box", p.do(t, "container", "ls", "-q"))

	require.NoError(t, os.Remove(catalog))
	r := p.run(t, "doctor")
	assert.Equal(t, exitPool, r.code)
	assert.Contains(t, r.stdout, "would make a catalog")
	assert.NoFileExists(t, catalog)
	assert.Contains(t, p.do(t, "doctor", "--fix"), "import images again")
	assert.Contains(t, p.do(t, "doctor"), "all is well")
	// The template, the layer and the container: their content is there, their names are not.
	recovered := strings.Fields(p.do(t, "container", "ls", "-q"))
	assert.Len(t, recovered, 3)
	at := t.TempDir()
	for _, name := range recovered[1:] {
		p.do(t, "container", "mount", name, at)
		content, err := os.ReadFile(filepath.Join(at, "a"))
		assert.NoError(t, err)
		assert.Equal(t, "a", string(content))
		p.do(t, "container", "umount", name)
	}
}

// An import that is interrupted says so, and the next one goes on.
func TestAnInterruptedImportSaysSo(t *testing.T) {
	p := newProgramWithPool(t)
	source := "oci:" + layoutOf(t, "app:1", on(t, scratchImage(t), small(t, file("a", "a")), small(t, noise("b", 64*mib, 9))))
	cmd := p.command(waittest.Context(t), "--progress", "plain", "image", "import", source)
	lines := startReading(t, cmd)
	lines.until(t, "applying")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	text := lines.rest()
	_ = cmd.Wait() // the code is looked at instead
	assert.Equal(t, exitFailure, cmd.ProcessState.ExitCode())
	assert.Contains(t, text, "veneer: ")
	assert.Contains(t, text, "interrupted")
	assert.Equal(t, "[]", p.do(t, "image", "ls", "--format", "json"))
	p.do(t, "doctor")
	p.do(t, "image", "import", source)
}

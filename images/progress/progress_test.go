package progress

import (
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"

	"github.com/veneerdm/veneer/images"
)

func event(i int, phase images.Phase, n int64) images.Event {
	return images.Event{
		Image: "docker.io/library/nginx:1", Index: i, Layers: 2, Digest: digest.FromString(string(rune('a' + i))),
		Phase: phase, Bytes: n, Total: 2 << 20,
	}
}

func TestPlainLines(t *testing.T) {
	var out strings.Builder
	p := New(&out, Auto)
	for _, e := range []images.Event{
		event(0, images.PhaseWaiting, 0), event(1, images.PhaseWaiting, 0),
		event(0, images.PhaseDownloading, 0), event(0, images.PhaseDownloading, 1<<20), event(1, images.PhaseExists, 2<<20),
		event(0, images.PhaseApplying, 0), event(0, images.PhaseDone, 2<<20),
	} {
		p.Event(e)
	}
	p.Close()
	assert.Equal(t, `nginx:1: layer 1/2 ca978112ca1b downloading (2MiB)
nginx:1: layer 2/2 3e23e8160039 exists (2MiB)
nginx:1: layer 1/2 ca978112ca1b applying (2MiB)
nginx:1: layer 1/2 ca978112ca1b done (2MiB)
`, out.String())
}

func TestBarsAreDrawnOver(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var out strings.Builder
	p := New(&out, Bars)
	at := time.Unix(0, 0)
	p.now = func() time.Time { return at }
	p.Event(event(0, images.PhaseDownloading, 0))
	first := out.Len()
	p.Event(event(0, images.PhaseDownloading, 1<<20))
	assert.Equal(t, first, out.Len(), "too soon to draw again")
	at = at.Add(redraw)
	p.Event(event(1, images.PhaseWaiting, 0))
	p.Close()
	assert.NotContains(t, out.String(), dim)
	assert.Contains(t, out.String(), "\x1b[2A\r", "goes up over two lines")
	assert.Contains(t, out.String(), "ca978112ca1b downloading [===============               ]     1MiB / 2MiB")
	for line := range strings.SplitSeq(out.String(), "\n") {
		assert.Less(t, len(strings.TrimSuffix(line[strings.LastIndex(line, "\r")+1:], clearLine)), 80, line)
	}
}

func TestColoursAndNarrowScreens(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	var out strings.Builder
	p := New(&out, Bars)
	p.size = func() (int, int) { return 30, 3 }
	for i := range 2 {
		p.Event(event(i, images.PhaseDone, 2<<20))
	}
	p.Close()
	assert.Contains(t, out.String(), "nginx:1  2/2 layers")
	assert.NotContains(t, out.String(), "ca978112ca1b done        [", "no room for a bar")
	p.size = func() (int, int) { return 80, 24 }
	p.Event(event(0, images.PhaseDone, 2<<20))
	assert.Contains(t, out.String(), green)
}

func TestNothing(t *testing.T) {
	var out strings.Builder
	p := New(&out, None)
	p.Event(event(0, images.PhaseDone, 1))
	p.Close()
	assert.Empty(t, out.String())
}

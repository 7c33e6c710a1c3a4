package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/bytesize"
)

// Mode says how progress is shown.
type Mode string

// The modes. Auto is Bars on a terminal and Plain elsewhere.
const (
	Auto  Mode = "auto"
	Bars  Mode = "tty"
	Plain Mode = "plain"
	None  Mode = "none"
)

// Printer shows events.
type Printer struct {
	w     io.Writer
	mode  Mode
	color bool
	size  func() (width, height int)
	now   func() time.Time

	image  string
	layers []images.Event // the latest of each layer
	drawn  int            // lines on the screen that are ours
	last   time.Time      // when they were drawn
}

// New makes a Printer that writes to w, usually os.Stderr. Colours are used on a
// terminal unless the environment has NO_COLOR.
func New(w io.Writer, mode Mode) *Printer {
	p := &Printer{w: w, mode: mode, now: time.Now, size: func() (int, int) { return 80, 24 }}
	f, isFile := w.(*os.File)
	isTerminal := isFile && term.IsTerminal(int(f.Fd()))
	if isTerminal {
		p.size = func() (int, int) {
			width, height, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		}
	}
	if mode == Auto || mode == "" {
		p.mode = Plain
		if isTerminal {
			p.mode = Bars
		}
	}
	p.color = p.mode == Bars && os.Getenv("NO_COLOR") == ""
	return p
}

// Event takes one event.
func (p *Printer) Event(e images.Event) {
	if p.mode == None {
		return
	}
	if e.Image != p.image || e.Layers != len(p.layers) {
		p.Close()
		p.image, p.layers = e.Image, make([]images.Event, e.Layers)
	}
	news := p.layers[e.Index].Phase != e.Phase
	p.layers[e.Index] = e
	switch {
	case p.mode == Plain && news && e.Phase != images.PhaseWaiting:
		fmt.Fprintln(p.w, p.plain(e))
	case p.mode == Bars:
		p.draw(news && finished(e))
	}
}

// Close draws the last state and leaves the cursor below it.
func (p *Printer) Close() {
	if p.mode == Bars && len(p.layers) > 0 {
		p.draw(true)
	}
	p.layers, p.drawn = nil, 0
}

func finished(e images.Event) bool {
	return e.Phase == images.PhaseDone || e.Phase == images.PhaseExists
}

func (p *Printer) plain(e images.Event) string {
	return fmt.Sprintf("%s: layer %d/%d %s %s (%s)",
		images.ShortName(e.Image), e.Index+1, e.Layers, short(e), e.Phase, bytesize.Format(e.Total))
}

// short is as much of a digest as people tell apart.
func short(e images.Event) string {
	const digits = 12
	hex := e.Digest.Encoded()
	return hex[:min(digits, len(hex))]
}

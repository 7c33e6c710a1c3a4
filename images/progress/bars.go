package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/bytesize"
)

// redraw is how long a drawing stays at least, so that a fast operation does not
// spend its time on the terminal.
const redraw = 100 * time.Millisecond

const (
	cursorUp  = "\x1b[%dA"
	clearLine = "\x1b[K"
	green     = "\x1b[32m"
	dim       = "\x1b[2m"
	plainText = "\x1b[0m"
)

// draw draws all lines over those of before, if it is time or now says so.
func (p *Printer) draw(now bool) {
	at := p.now()
	if !now && at.Sub(p.last) < redraw {
		return
	}
	p.last = at
	width, height := p.size()
	lines := p.lines(width, height)
	var out strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&out, cursorUp, p.drawn)
	}
	for _, line := range lines {
		out.WriteString("\r" + line + clearLine + "\n")
	}
	for i := len(lines); i < p.drawn; i++ { // fewer than before
		out.WriteString("\r" + clearLine + "\n")
	}
	p.drawn = max(p.drawn, len(lines))
	fmt.Fprint(p.w, out.String())
}

// lines is the picture: a line for the image and one for each layer, the finished
// ones counted only if the screen is too small.
func (p *Printer) lines(width, height int) []string {
	done := 0
	for _, e := range p.layers {
		if finished(e) {
			done++
		}
	}
	lines := []string{cut(fmt.Sprintf("%s  %d/%d layers", images.ShortName(p.image), done, len(p.layers)), width)}
	room := max(height-2, 1)
	small := len(p.layers) > room
	for _, e := range p.layers {
		if e.Layers == 0 || small && finished(e) || len(lines) > room {
			continue
		}
		lines = append(lines, p.line(e, width))
	}
	return lines
}

// line shows one layer: digest, phase, bar, bytes.
func (p *Printer) line(e images.Event, width int) string {
	head := fmt.Sprintf("  %-12s %-11s ", short(e), e.Phase)
	tail := fmt.Sprintf(" %8s", bytesize.Format(e.Total))
	if e.Phase == images.PhaseDownloading || e.Phase == images.PhaseApplying || e.Phase == images.PhaseUploading {
		tail = fmt.Sprintf(" %8s / %s", bytesize.Format(e.Bytes), bytesize.Format(e.Total))
	}
	const least, most = 10, 40
	room := min(width-1-len(head)-len("[]")-len(" 1.234GiB / 1.234GiB"), most)
	if room < least {
		return cut(head+tail, width)
	}
	full := 0
	if e.Total > 0 {
		full = int(min(e.Bytes, e.Total) * int64(room) / e.Total)
	}
	bar := "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
	if !p.color {
		return head + bar + tail
	}
	color := green
	if !finished(e) {
		color = dim
	}
	return head + color + bar + plainText + tail
}

// cut keeps a line from wrapping, which would spoil the drawing.
func cut(line string, width int) string {
	if len(line) >= width && width > 0 {
		return line[:width-1]
	}
	return line
}

package devmapper

import (
	"fmt"
	"strconv"
	"strings"
)

// Raw is a target that this package has no type for, kept as it was printed.
type Raw struct {
	Kind string
	Text string
}

// Type is the target's name.
func (r Raw) Type() string { return r.Kind }

// Params is the text as the kernel printed it.
func (r Raw) Params() string { return r.Text }

// Linear maps to a run of another device.
type Linear struct {
	Dev    DevNo
	Offset Sectors
}

// Type is "linear".
func (Linear) Type() string { return "linear" }

// Params prints "dev offset".
func (l Linear) Params() string { return fmt.Sprintf("%s %d", l.Dev, l.Offset) }

// Zero reads as zeros and discards what is written.
type Zero struct{}

// Type is "zero".
func (Zero) Type() string { return "zero" }

// Params prints nothing.
func (Zero) Params() string { return "" }

// Fault fails every read and write.
type Fault struct{}

// Type is "error".
func (Fault) Type() string { return "error" }

// Params prints nothing.
func (Fault) Params() string { return "" }

// Delay slows a device down. Reads, writes and flushes are each held back.
type Delay struct {
	Dev                DevNo
	Offset             Sectors
	Read, Write, Flush uint // milliseconds
}

// Type is "delay".
func (Delay) Type() string { return "delay" }

// Params prints the nine-word form, one device for all three.
func (d Delay) Params() string {
	p := func(ms uint) string { return fmt.Sprintf("%s %d %d", d.Dev, d.Offset, ms) }
	return p(d.Read) + " " + p(d.Write) + " " + p(d.Flush)
}

// Flakey behaves for Up seconds, then misbehaves for Down seconds, in turn.
type Flakey struct {
	Dev      DevNo
	Offset   Sectors
	Up, Down uint
	Features []string // such as "drop_writes" or "error_writes"
}

// Type is "flakey".
func (Flakey) Type() string { return "flakey" }

// Params prints "dev offset up down [n feature...]".
func (f Flakey) Params() string {
	s := fmt.Sprintf("%s %d %d %d", f.Dev, f.Offset, f.Up, f.Down)
	if len(f.Features) > 0 {
		s += fmt.Sprintf(" %d %s", len(f.Features), strings.Join(f.Features, " "))
	}
	return s
}

// LogWrites records every write to Dev on Log.
type LogWrites struct{ Dev, Log DevNo }

// Type is "log-writes".
func (LogWrites) Type() string { return "log-writes" }

// Params prints "dev log".
func (l LogWrites) Params() string { return l.Dev.String() + " " + l.Log.String() }

// Dust fails reads of blocks that a message has marked bad.
type Dust struct {
	Dev       DevNo
	Offset    Sectors
	BlockSize uint // bytes
}

// Type is "dust".
func (Dust) Type() string { return "dust" }

// Params prints "dev offset block-size".
func (d Dust) Params() string { return fmt.Sprintf("%s %d %d", d.Dev, d.Offset, d.BlockSize) }

// ParseTarget reads what Params prints and what the kernel says in a table. A
// type that it does not know becomes Raw.
func ParseTarget(kind, params string) (Target, error) {
	parse, ok := parsers[kind]
	if !ok {
		return Raw{Kind: kind, Text: params}, nil
	}
	w := &words{rest: strings.Fields(params)}
	t := parse(w)
	if w.err == nil && len(w.rest) > 0 {
		w.fail("nothing more", w.rest[0])
	}
	if w.err != nil {
		return nil, fmt.Errorf("%w: target %q with parameters %q: %w", ErrInvalid, kind, params, w.err)
	}
	return t, nil
}

var parsers = map[string]func(*words) Target{
	"linear":     func(w *words) Target { return Linear{w.dev(), w.sectors()} },
	"zero":       func(*words) Target { return Zero{} },
	"error":      func(*words) Target { return Fault{} },
	"delay":      parseDelay,
	"flakey":     parseFlakey,
	"log-writes": func(w *words) Target { return LogWrites{w.dev(), w.dev()} },
	"dust":       func(w *words) Target { return Dust{w.dev(), w.sectors(), uint(w.number())} },
	"thin-pool":  parseThinPool,
	"thin":       parseThin,
}

func parseDelay(w *words) Target {
	d := Delay{Dev: w.dev(), Offset: w.sectors(), Read: uint(w.number())}
	d.Write, d.Flush = d.Read, d.Read
	for _, ms := range []*uint{&d.Write, &d.Flush} {
		if len(w.rest) == 0 {
			break
		}
		if dev, at := w.dev(), w.sectors(); dev != d.Dev || at != d.Offset {
			w.fail("the same device three times", dev.String())
		}
		*ms = uint(w.number())
	}
	return d
}

func parseFlakey(w *words) Target {
	f := Flakey{Dev: w.dev(), Offset: w.sectors(), Up: uint(w.number()), Down: uint(w.number())}
	if len(w.rest) > 0 {
		f.Features = w.counted()
	}
	return f
}

// words takes parameters one by one and keeps the first thing that was wrong.
type words struct {
	rest []string
	err  error
}

func (w *words) fail(want, got string) {
	if w.err == nil {
		w.err = fmt.Errorf("%s expected, not %q", want, got)
	}
}

func (w *words) next(want string) string {
	if len(w.rest) == 0 {
		w.fail(want, "the end")
		return ""
	}
	s := w.rest[0]
	w.rest = w.rest[1:]
	return s
}

func (w *words) dev() DevNo {
	s := w.next("device number")
	d, err := ParseDevNo(s)
	if err != nil {
		w.fail("device number", s)
	}
	return d
}

func (w *words) number() uint64 {
	s := w.next("number")
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		w.fail("number", s)
	}
	return n
}

func (w *words) sectors() Sectors { return Sectors(w.number()) }

// counted takes a number and that many words, as targets print their features.
func (w *words) counted() []string {
	n := w.number()
	if n > uint64(len(w.rest)) {
		w.fail(fmt.Sprintf("%d features", n), strings.Join(w.rest, " "))
		return nil
	}
	taken := w.rest[:n:n]
	w.rest = w.rest[n:]
	return taken
}

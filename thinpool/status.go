package thinpool

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Status is what a pool says of itself: Working or Failed, nothing else.
type Status interface{ isStatus() }

// Mode is what a working pool lets its users do, in the kernel's words.
type Mode string

// The modes of a pool.
const (
	ModeReadWrite Mode = "rw"
	ModeNoSpace   Mode = "out_of_data_space" // deletes and messages still work
	ModeReadOnly  Mode = "ro"
)

// Working is the status of a pool that answers.
type Working struct {
	Transaction   dmthin.TransactionID
	UsedMeta      dmthin.MetaBlocks // with the kernel's own reserve
	TotalMeta     dmthin.MetaBlocks
	UsedData      dmthin.DataBlocks
	TotalData     dmthin.DataBlocks
	HeldRoot      dmthin.MetaBlocks // 0 for none
	Mode          Mode
	NeedsCheck    bool
	ErrorWhenFull bool
	Discard       string // "ignore_discard", "no_discard_passdown" or "discard_passdown"
	MetaLowWater  dmthin.MetaBlocks
}

// Failed is the status of a pool that has given up: "Fail" after errors, "Error"
// when it cannot even be asked.
type Failed struct{ Word string }

func (Working) isStatus() {}
func (Failed) isStatus()  {}

// ParseStatus reads the status line of a thin-pool target. Older kernels print
// fewer words at the end, newer ones may print more, so the tail is read by word
// and not by place.
func ParseStatus(line string) (Status, error) {
	words := strings.Fields(line)
	if len(words) == 1 && (words[0] == "Fail" || words[0] == "Error") {
		return Failed{Word: words[0]}, nil
	}
	bad := func(what string) (Status, error) {
		return nil, fmt.Errorf("%w: pool status %q: %s", devmapper.ErrInvalid, line, what)
	}
	if len(words) < 5 {
		return bad("too few words")
	}
	var w Working
	tid, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil {
		return bad("no transaction id")
	}
	w.Transaction = dmthin.TransactionID(tid)
	usedMeta, totalMeta, ok1 := fraction(words[1])
	usedData, totalData, ok2 := fraction(words[2])
	if !ok1 || !ok2 {
		return bad("no used/total blocks")
	}
	w.UsedMeta, w.TotalMeta = dmthin.MetaBlocks(usedMeta), dmthin.MetaBlocks(totalMeta)
	w.UsedData, w.TotalData = dmthin.DataBlocks(usedData), dmthin.DataBlocks(totalData)
	if words[3] != "-" {
		held, err := strconv.ParseUint(words[3], 10, 64)
		if err != nil {
			return bad("no held root")
		}
		w.HeldRoot = dmthin.MetaBlocks(held)
	}
	for _, word := range words[4:] {
		switch word {
		case "rw", "ro", "out_of_data_space":
			w.Mode = Mode(word)
		case "ignore_discard", "no_discard_passdown", "discard_passdown":
			w.Discard = word
		case "error_if_no_space":
			w.ErrorWhenFull = true
		case "needs_check":
			w.NeedsCheck = true
		default:
			if n, err := strconv.ParseUint(word, 10, 64); err == nil {
				w.MetaLowWater = dmthin.MetaBlocks(n)
			}
		}
	}
	if w.Mode == "" {
		return bad("no mode")
	}
	return w, nil
}

func fraction(s string) (used, total uint64, ok bool) {
	a, b, found := strings.Cut(s, "/")
	used, err1 := strconv.ParseUint(a, 10, 64)
	total, err2 := strconv.ParseUint(b, 10, 64)
	return used, total, found && err1 == nil && err2 == nil
}

// Status asks the pool. It does not make the pool commit.
func (p *Pool) Status() (Status, error) {
	lines, err := p.dm.Status(p.self)
	if err != nil {
		return nil, err
	}
	if len(lines) != 1 || lines[0].Type != "thin-pool" {
		return nil, fmt.Errorf("%w: device %s is not a thin pool", ErrForeign, p.name)
	}
	return ParseStatus(lines[0].Status)
}

// Working asks the pool and gives ErrFailed unless it works.
func (p *Pool) Working() (Working, error) {
	s, err := p.Status()
	if err != nil {
		return Working{}, err
	}
	w, ok := s.(Working)
	if !ok {
		return Working{}, fmt.Errorf("%w: pool %s says %q; see the kernel's log", ErrFailed, p.name, s.(Failed).Word)
	}
	p.last.Store(&w)
	return w, nil
}

// Last is what the pool said when it was last asked, which every message does. It
// costs nothing.
func (p *Pool) Last() (Working, error) {
	if w := p.last.Load(); w != nil {
		return *w, nil
	}
	return p.Working()
}

// Writable is nil when the pool takes changes, and otherwise says why it does not.
func (w Working) Writable() error {
	switch {
	case w.NeedsCheck:
		return fmt.Errorf("%w: its metadata needs a check; run \"veneer pool deactivate\" and \"veneer pool repair\"", ErrMode)
	case w.Mode == ModeReadOnly && w.UsedMeta >= w.TotalMeta:
		return fmt.Errorf("%w: its metadata is full; grow it", ErrMode)
	case w.Mode == ModeReadOnly:
		return ErrMode
	}
	return nil
}

// ThinStatus is what one thin device has mapped, shared blocks included.
type ThinStatus struct{ Mapped devmapper.Sectors }

// ParseThinStatus reads the status line of a thin target.
func ParseThinStatus(line string) (ThinStatus, error) {
	words := strings.Fields(line)
	if len(words) > 0 {
		if n, err := strconv.ParseUint(words[0], 10, 64); err == nil {
			return ThinStatus{Mapped: devmapper.Sectors(n)}, nil
		}
	}
	return ThinStatus{}, fmt.Errorf("%w: thin status %q does not begin with mapped sectors", devmapper.ErrInvalid, line)
}

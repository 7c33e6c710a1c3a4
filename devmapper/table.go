package devmapper

import (
	"fmt"
	"strings"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Target is what a run of sectors is mapped to. Any package may define one; those
// of this package print their parameters in the kernel's own order, so that a
// table equals what the kernel says of it.
type Target interface {
	Type() string   // the kernel's name of the target, at most 15 bytes
	Params() string // separated by spaces
}

// Line maps Length sectors from Start on to a target.
type Line struct {
	Start, Length Sectors
	Target        Target
}

func (l Line) String() string {
	return strings.TrimRight(fmt.Sprintf("%d %d %s %s", l.Start, l.Length, l.Target.Type(), l.Target.Params()), " ")
}

// Table is the lines of a device's table, ascending and without gaps.
type Table []Line

// Single is a table of one line from sector 0.
func Single(length Sectors, t Target) Table { return Table{{Length: length, Target: t}} }

// Length is how many sectors the table maps.
func (t Table) Length() Sectors {
	var n Sectors
	for _, l := range t {
		n += l.Length
	}
	return n
}

func (t Table) String() string {
	rows := make([]string, len(t))
	for i, l := range t {
		rows[i] = l.String()
	}
	return strings.Join(rows, "\n")
}

// Mode says whether a table lets its device be written.
type Mode bool

// The modes of a table.
const (
	ReadWrite Mode = false
	ReadOnly  Mode = true
)

// Load stages a table. The target decides what can be wrong with it: ErrInvalid
// means that the kernel's log has the cause.
func (c *Client) Load(ref Ref, table Table, mode Mode) error {
	targets := make([]uapi.Target, len(table))
	next := Sectors(0)
	for i, l := range table {
		if l.Start != next || l.Length == 0 {
			return fmt.Errorf("%w: table line %d maps %d sectors from %d, where %d is next", ErrInvalid, i, l.Length, l.Start, next)
		}
		next += l.Length
		targets[i] = uapi.Target{Start: uint64(l.Start), Length: uint64(l.Length), Type: l.Target.Type(), Params: l.Target.Params()}
	}
	payload, err := uapi.AppendTable(nil, targets)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	k := call{cmd: uapi.TableLoad, ref: ref, targets: uint32(len(targets)), payload: payload, detail: table.String()}
	if mode == ReadOnly {
		k.flags = uapi.FlagReadOnly
	}
	_, _, err = c.do(k)
	return err
}

// Clear drops the staged table.
func (c *Client) Clear(ref Ref) error {
	_, _, err := c.do(call{cmd: uapi.TableClear, ref: ref})
	return err
}

// Table gives the active table with typed targets.
func (c *Client) Table(ref Ref) (Table, error) {
	return c.table(ref, uapi.FlagStatusTable|uapi.FlagNoFlush)
}

// InactiveTable gives the staged table; it is empty when there is none.
func (c *Client) InactiveTable(ref Ref) (Table, error) {
	return c.table(ref, uapi.FlagStatusTable|uapi.FlagNoFlush|uapi.FlagQueryInactiveTable)
}

func (c *Client) table(ref Ref, flags uapi.Flags) (Table, error) {
	targets, err := c.targets(ref, flags)
	if err != nil {
		return nil, err
	}
	table := make(Table, len(targets))
	for i, t := range targets {
		parsed, err := ParseTarget(t.Type, t.Params)
		if err != nil {
			return nil, fmt.Errorf("table of %s: %w", ref, err)
		}
		table[i] = Line{Start: Sectors(t.Start), Length: Sectors(t.Length), Target: parsed}
	}
	return table, nil
}

// TargetStatus is one line of a device's status, in its target's own words.
type TargetStatus struct {
	Start, Length Sectors
	Type          string
	Status        string
}

// Status asks every target of the active table. It does not flush: a thin-pool
// asked with a flush commits its metadata first.
func (c *Client) Status(ref Ref) ([]TargetStatus, error) {
	targets, err := c.targets(ref, uapi.FlagNoFlush)
	if err != nil {
		return nil, err
	}
	all := make([]TargetStatus, len(targets))
	for i, t := range targets {
		all[i] = TargetStatus{Sectors(t.Start), Sectors(t.Length), t.Type, t.Params}
	}
	return all, nil
}

func (c *Client) targets(ref Ref, flags uapi.Flags) ([]uapi.Target, error) {
	h, data, err := c.do(call{cmd: uapi.TableStatus, ref: ref, flags: flags, reply: true})
	if err != nil {
		return nil, err
	}
	targets, err := uapi.ParseStatus(data, h.TargetCount)
	if err != nil {
		return nil, fmt.Errorf("table of %s: %w", ref, err)
	}
	return targets, nil
}

// Deps gives the devices that the active table stands on.
func (c *Client) Deps(ref Ref) ([]DevNo, error) {
	_, data, err := c.do(call{cmd: uapi.TableDeps, ref: ref, reply: true})
	if err != nil {
		return nil, err
	}
	raw, err := uapi.ParseDeps(data)
	if err != nil {
		return nil, fmt.Errorf("dependencies of %s: %w", ref, err)
	}
	devs := make([]DevNo, len(raw))
	for i, d := range raw {
		devs[i] = devNoFromHuge(d)
	}
	return devs, nil
}

// Message sends text to the target at sector and gives its answer, mostly "".
func (c *Client) Message(ref Ref, sector Sectors, text string) (string, error) {
	payload, err := uapi.AppendMessage(nil, uint64(sector), text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	h, data, err := c.do(call{cmd: uapi.TargetMessage, ref: ref, payload: payload, reply: true, detail: text})
	if err != nil || h.Flags&uapi.FlagDataOut == 0 {
		return "", err
	}
	return uapi.ParseString(data)
}

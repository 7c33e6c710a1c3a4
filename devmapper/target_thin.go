package devmapper

import (
	"fmt"
	"strconv"
	"strings"
)

// ThinPool is the target that keeps thin devices on a metadata and a data device.
// The zero features are the kernel's defaults: zero new blocks, pass discards
// down, queue writes when full.
type ThinPool struct {
	Metadata, Data DevNo
	BlockSize      Sectors // 128 to 2097152, a multiple of 128
	LowWater       uint64  // data blocks; an event is raised when fewer are free

	SkipBlockZeroing   bool // new blocks show what was there before
	IgnoreDiscard      bool
	NoDiscardPassdown  bool
	ReadOnlyMetadata   bool
	ErrorIfNoSpace     bool
	unknownFeatureText string
}

// Type is "thin-pool".
func (ThinPool) Type() string { return "thin-pool" }

// Params prints the features in the order of the kernel's emit_flags
// (drivers/md/dm-thin.c), so that it equals the kernel's own table.
func (p ThinPool) Params() string {
	s := fmt.Sprintf("%s %s %d %d", p.Metadata, p.Data, p.BlockSize, p.LowWater)
	var features []string
	for _, f := range p.features() {
		if *f.on {
			features = append(features, f.word)
		}
	}
	if p.unknownFeatureText != "" {
		features = append(features, strings.Fields(p.unknownFeatureText)...)
	}
	s += " " + strconv.Itoa(len(features))
	if len(features) > 0 {
		s += " " + strings.Join(features, " ")
	}
	return s
}

type poolFeature struct {
	word string
	on   *bool
}

func (p *ThinPool) features() []poolFeature {
	return []poolFeature{
		{"skip_block_zeroing", &p.SkipBlockZeroing},
		{"ignore_discard", &p.IgnoreDiscard},
		{"no_discard_passdown", &p.NoDiscardPassdown},
		{"read_only", &p.ReadOnlyMetadata},
		{"error_if_no_space", &p.ErrorIfNoSpace},
	}
}

func parseThinPool(w *words) Target {
	p := ThinPool{Metadata: w.dev(), Data: w.dev(), BlockSize: w.sectors(), LowWater: w.number()}
	if len(w.rest) == 0 {
		return p
	}
next:
	for _, word := range w.counted() {
		for _, f := range p.features() {
			if f.word == word {
				*f.on = true
				continue next
			}
		}
		// A newer kernel's feature must survive a reload of the table.
		p.unknownFeatureText = strings.TrimSpace(p.unknownFeatureText + " " + word)
	}
	return p
}

// Thin is the target that maps one thin device of a pool.
type Thin struct {
	Pool   DevNo
	ID     uint32 // 24 bits
	Origin DevNo  // external origin, the zero DevNo for none
}

// Type is "thin".
func (Thin) Type() string { return "thin" }

// Params prints "pool id [origin]".
func (t Thin) Params() string {
	s := fmt.Sprintf("%s %d", t.Pool, t.ID)
	if !t.Origin.IsZero() {
		s += " " + t.Origin.String()
	}
	return s
}

func parseThin(w *words) Target {
	t := Thin{Pool: w.dev()}
	id := w.number()
	if id >= 1<<24 {
		w.fail("thin id of 24 bits", strconv.FormatUint(id, 10))
	}
	t.ID = uint32(id)
	if len(w.rest) > 0 {
		t.Origin = w.dev()
	}
	return t
}

package dmtest

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// pool is what a metadata disk holds, and the state of its live target.
type pool struct {
	// On the disk.
	blockSize   devmapper.Sectors
	transaction uint64
	time        uint32
	dataBlocks  uint64
	metaBlocks  uint64
	thins       map[uint32]*thin
	blocks      map[uint64]*block
	next        uint64 // where to look for a free data block
	heldRoot    uint64
	needsCheck  bool

	// Of the live target.
	user     *device
	tables   int
	features devmapper.ThinPool
	mode     string // rw, ro, out_of_data_space
	lose     bool   // the next commit is swallowed
}

type thin struct {
	id                uint32
	mappings          map[uint64]mapping
	transaction       uint64
	created, snapshot uint32 // times
	active            int    // tables that map it
}

type mapping struct {
	block uint64
	time  uint32
}

// block is one data block. refs counts mappings, so it is exact where the kernel
// counts shared tree leaves once.
type block struct {
	refs int
	data []byte // nil: as the disk was, zeros
}

const (
	modeRW    = "rw"
	modeRO    = "ro"
	modeFull  = "out_of_data_space"
	leafRoom  = 126
	metaSize  = 8 // sectors of a metadata block
	maxThinID = 1<<24 - 1
)

func (k *Kernel) constructPool(d *device, t *table, line *uapi.Target, spec devmapper.ThinPool) error {
	data, ok1 := k.disks[spec.Data]
	meta, ok2 := k.disks[spec.Metadata]
	if !ok1 || !ok2 {
		return syscall.ENXIO
	}
	if spec.BlockSize < 128 || spec.BlockSize > 2097152 || spec.BlockSize%128 != 0 || line.Start != 0 {
		return syscall.EINVAL
	}
	p := k.pools[spec.Metadata]
	switch {
	case p == nil:
		p = &pool{
			blockSize: spec.BlockSize, thins: map[uint32]*thin{}, blocks: map[uint64]*block{},
			metaBlocks: uint64(meta / metaSize), mode: modeRW,
		}
		k.pools[spec.Metadata] = p
	case p.blockSize != spec.BlockSize:
		return syscall.EINVAL
	case p.user != nil && p.user != d:
		return syscall.EBUSY
	}
	if devmapper.Sectors(line.Length) > data {
		return syscall.EINVAL
	}
	p.user = d
	p.tables++
	t.pool = p
	return nil
}

// resumePool takes over the new table's size and features. A pool never shrinks.
func (k *Kernel) resumePool(d *device, p *pool, t *table) error {
	spec := t.targets[0].(devmapper.ThinPool)
	blocks := t.lines[0].Length / uint64(spec.BlockSize)
	meta := uint64(k.disks[spec.Metadata] / metaSize)
	if blocks < p.dataBlocks || meta < p.metaBlocks {
		return syscall.EINVAL
	}
	grew := blocks > p.dataBlocks || meta > p.metaBlocks
	p.dataBlocks, p.metaBlocks, p.features = blocks, meta, spec
	if grew && !p.needsCheck || p.mode == "" {
		p.mode = modeRW
	}
	if p.needsCheck {
		p.mode = modeRO
	}
	return nil
}

// usedMeta is a model of the kernel's: it grows with thins and mappings and holds
// the reserve that the kernel counts as used.
func (p *pool) usedMeta() uint64 {
	n := min(4096, p.metaBlocks/10) + 7
	for _, t := range p.thins {
		n += 1 + uint64(len(t.mappings))/leafRoom
	}
	return n
}

func (p *pool) usedData() uint64 { return uint64(len(p.blocks)) }

func (p *pool) status() string {
	held := "-"
	if p.heldRoot != 0 {
		held = strconv.FormatUint(p.heldRoot, 10)
	}
	discard, full, check := "discard_passdown", "queue_if_no_space", "-"
	if p.features.NoDiscardPassdown {
		discard = "no_discard_passdown"
	}
	if p.features.IgnoreDiscard {
		discard = "ignore_discard"
	}
	if p.features.ErrorIfNoSpace {
		full = "error_if_no_space"
	}
	if p.needsCheck {
		check = "needs_check"
	}
	return fmt.Sprintf("%d %d/%d %d/%d %s %s %s %s %s %d ", p.transaction, p.usedMeta(), p.metaBlocks,
		p.usedData(), p.dataBlocks, held, p.mode, discard, full, check, min(1024, p.metaBlocks/4))
}

func (k *Kernel) message(d *device, payload []byte) error {
	_, text, err := uapi.ParseMessage(payload)
	if err != nil {
		return syscall.EINVAL
	}
	if text == "@cancel_deferred_remove" {
		d.deferred = false
		return nil
	}
	if d.active == nil {
		return syscall.ENXIO
	}
	p := d.active.pool
	if p == nil || d.active.thin != nil {
		return syscall.EINVAL
	}
	if p.mode == modeRO {
		return syscall.EOPNOTSUPP
	}
	words := strings.Fields(text)
	var before *pool
	if p.lose {
		before = p.clone()
	}
	if err := k.poolMessage(p, words); err != nil {
		return err
	}
	if before != nil {
		// dm-thin.c, pool_message: the result of the commit is thrown away.
		p.restore(before)
		p.lose, p.needsCheck, p.mode = false, true, modeRO
		k.raiseOn(d)
		return nil
	}
	if p.usedMeta() >= p.metaBlocks {
		p.mode = modeRO
		k.raiseOn(d)
	} else if p.mode == modeFull && p.usedData() < p.dataBlocks {
		p.mode = modeRW
	}
	return nil
}

func (k *Kernel) poolMessage(p *pool, words []string) error {
	number := func(i int) (uint64, error) {
		n, err := strconv.ParseUint(words[i], 10, 64)
		if err != nil {
			return 0, syscall.EINVAL
		}
		return n, nil
	}
	id := func(i int) (uint32, error) {
		n, err := number(i)
		if err != nil || n > maxThinID {
			return 0, syscall.EINVAL
		}
		return uint32(n), nil
	}
	if len(words) == 0 {
		return syscall.EINVAL
	}
	switch verb := words[0] + "/" + strconv.Itoa(len(words)-1); verb {
	case "create_thin/1":
		n, err := id(1)
		if err != nil {
			return err
		}
		return p.createThin(n)
	case "create_snap/2":
		n, err := id(1)
		if err != nil {
			return err
		}
		origin, err := id(2)
		if err != nil {
			return err
		}
		return p.createSnap(n, origin)
	case "delete/1":
		n, err := id(1)
		if err != nil {
			return err
		}
		return p.delete(n)
	case "set_transaction_id/2":
		old, err1 := number(1)
		now, err2 := number(2)
		if err1 != nil || err2 != nil || old != p.transaction {
			return syscall.EINVAL
		}
		p.transaction = now
		return nil
	case "reserve_metadata_snap/0":
		if p.heldRoot != 0 {
			return syscall.EBUSY
		}
		p.heldRoot = 1
		if k.reserve != nil {
			held, err := k.reserve(p.features.Metadata, p.state())
			if err != nil {
				p.heldRoot = 0
				return syscall.EIO
			}
			p.heldRoot = held
		}
		return nil
	case "release_metadata_snap/0":
		if p.heldRoot == 0 {
			return syscall.EINVAL
		}
		p.heldRoot = 0
		return nil
	}
	return syscall.EINVAL
}

func (p *pool) createThin(id uint32) error {
	if p.thins[id] != nil {
		return syscall.EEXIST
	}
	p.thins[id] = &thin{id: id, mappings: map[uint64]mapping{}, transaction: p.transaction, created: p.time, snapshot: p.time}
	return nil
}

func (p *pool) createSnap(id, origin uint32) error {
	if p.thins[id] != nil {
		return syscall.EEXIST
	}
	from := p.thins[origin]
	if from == nil {
		return syscall.ENODATA
	}
	p.time++
	from.snapshot = p.time
	t := &thin{id: id, mappings: make(map[uint64]mapping, len(from.mappings)), transaction: p.transaction, created: p.time, snapshot: p.time}
	for virtual, m := range from.mappings {
		t.mappings[virtual] = m
		p.blocks[m.block].refs++
	}
	p.thins[id] = t
	return nil
}

func (p *pool) delete(id uint32) error {
	t := p.thins[id]
	if t == nil {
		return syscall.ENODATA
	}
	if t.active > 0 {
		return syscall.EBUSY
	}
	p.remove(t)
	return nil
}

func (p *pool) remove(t *thin) {
	for _, m := range t.mappings {
		p.unref(m.block)
	}
	clear(t.mappings) // tables may still point at it
	delete(p.thins, t.id)
}

func (p *pool) unref(n uint64) {
	b := p.blocks[n]
	if b.refs--; b.refs == 0 {
		delete(p.blocks, n)
	}
}

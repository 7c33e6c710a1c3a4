package dmtest

import (
	"maps"

	"github.com/veneerdm/veneer/devmapper"
)

// PoolState is what a pool keeps on its metadata disk, for whoever writes it down
// in the kernel's on-disk format.
type PoolState struct {
	BlockSize   devmapper.Sectors
	Transaction uint64
	Time        uint32
	DataBlocks  uint64
	MetaBlocks  uint64
	Thins       map[uint32]ThinState
}

// ThinState is one thin device of a PoolState.
type ThinState struct {
	Transaction          uint64
	Created, Snapshotted uint32
	Mappings             map[uint64]MappingState // by virtual block
	ActiveTables         int
}

// MappingState is where a virtual block is, and since which snapshot time.
type MappingState struct {
	Block uint64
	Time  uint32
}

// OnReserve sets what makes a metadata snapshot readable: it is called inside
// reserve_metadata_snap with what the pool's metadata says, and answers the block
// number that the pool's status will show as held root.
func (k *Kernel) OnReserve(f func(metadata devmapper.DevNo, s PoolState) (heldRoot uint64, err error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reserve = f
}

// Pool shows what the metadata disk holds; false when it holds no pool.
func (k *Kernel) Pool(metadata devmapper.DevNo) (PoolState, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pools[metadata]
	if p == nil {
		return PoolState{}, false
	}
	return p.state(), true
}

// Devices lists the names of all mapped devices.
func (k *Kernel) Devices() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	names := make([]string, 0, len(k.devices))
	for name := range maps.Keys(k.devices) {
		names = append(names, name)
	}
	return names
}

func (p *pool) state() PoolState {
	s := PoolState{
		BlockSize: p.blockSize, Transaction: p.transaction, Time: p.time,
		DataBlocks: p.dataBlocks, MetaBlocks: p.metaBlocks, Thins: make(map[uint32]ThinState, len(p.thins)),
	}
	for id, t := range p.thins {
		ts := ThinState{
			Transaction: t.transaction, Created: t.created, Snapshotted: t.snapshot,
			Mappings: make(map[uint64]MappingState, len(t.mappings)), ActiveTables: t.active,
		}
		for virtual, m := range t.mappings {
			ts.Mappings[virtual] = MappingState{m.block, m.time}
		}
		s.Thins[id] = ts
	}
	return s
}

// clone and restore take back what a swallowed commit loses. Only messages can be
// lost here, so the two share the content of blocks.
func (p *pool) clone() *pool {
	c := *p
	c.thins = make(map[uint32]*thin, len(p.thins))
	for id, t := range p.thins {
		deep := *t
		deep.mappings = maps.Clone(t.mappings)
		c.thins[id] = &deep
	}
	c.blocks = make(map[uint64]*block, len(p.blocks))
	for n, b := range p.blocks {
		deep := *b
		c.blocks[n] = &deep
	}
	return &c
}

func (p *pool) restore(before *pool) {
	for id, t := range before.thins {
		if live := p.thins[id]; live != nil {
			*live = *t // tables point at it
			before.thins[id] = live
		}
	}
	p.thins, p.blocks = before.thins, before.blocks
	p.time, p.transaction, p.heldRoot = before.time, before.transaction, before.heldRoot
}

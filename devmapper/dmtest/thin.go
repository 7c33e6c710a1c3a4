package dmtest

import (
	"fmt"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
)

func (k *Kernel) constructThin(t *table, spec devmapper.Thin) error {
	var pd *device
	for _, d := range k.devices {
		if d.dev() == spec.Pool {
			pd = d
		}
	}
	if pd == nil || pd.active == nil || pd.active.pool == nil || pd.active.thin != nil || pd.suspended {
		return syscall.EINVAL
	}
	p := pd.active.pool
	th := p.thins[spec.ID]
	if th == nil {
		return syscall.ENODATA
	}
	if err := k.hold(t, spec.Pool); err != nil {
		return err
	}
	th.active++
	t.pool, t.thin = p, th
	return nil
}

func (t *thin) status(p *pool) string {
	highest, any := uint64(0), false
	for virtual := range t.mappings {
		highest, any = max(highest, virtual), true
	}
	mapped := uint64(len(t.mappings)) * uint64(p.blockSize)
	if !any {
		return fmt.Sprintf("%d -", mapped)
	}
	return fmt.Sprintf("%d %d", mapped, (highest+1)*uint64(p.blockSize)-1)
}

// writable gives the block behind a virtual block, allocating it or breaking its
// sharing, as provision_block and break_sharing do.
func (p *pool) writable(t *thin, virtual uint64) (*block, error) {
	m, mapped := t.mappings[virtual]
	if mapped && t.snapshot <= m.time {
		return p.blocks[m.block], nil
	}
	if p.mode == modeRO {
		return nil, syscall.EIO
	}
	if p.usedData() >= p.dataBlocks {
		p.mode = modeFull
		return nil, syscall.ENOSPC
	}
	for p.blocks[p.next%p.dataBlocks] != nil {
		p.next++
	}
	n := p.next % p.dataBlocks
	fresh := &block{refs: 1, data: make([]byte, p.blockSize.Bytes())}
	if mapped {
		copy(fresh.data, p.blocks[m.block].data)
		p.unref(m.block)
	}
	p.blocks[n] = fresh
	t.mappings[virtual] = mapping{n, p.time}
	return fresh, nil
}

func (p *pool) discard(t *thin, virtual uint64) {
	if m, ok := t.mappings[virtual]; ok {
		delete(t.mappings, virtual)
		p.unref(m.block)
		if p.mode == modeFull {
			p.mode = modeRW
		}
	}
}

package wire

import (
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// FromPool makes a message of the pool's description.
func FromPool(p snapshots.PoolInfo) *api.PoolInfo {
	m := &api.PoolInfo{
		Name: p.Name, State: string(p.State), Backing: string(p.Backing), Data: p.Data, Metadata: p.Metadata,
		VolumeGroup: p.VolumeGroup, ExistingPool: p.ExistingPool, BlockSize: p.BlockSize, LowWater: p.LowWater,
		ErrorWhenFull: p.ErrorWhenFull, ExposeDeletedData: p.ExposeDeletedData, Filesystem: p.Filesystem,
		MkfsOptions: p.MkfsOptions, BaseSize: p.BaseSize, Created: FromTime(p.Created),
		Snapshots: int64(p.Snapshots), Trash: int64(p.Trash), Lost: int64(p.Lost),
	}
	for _, id := range p.Unknown {
		m.Unknown = append(m.Unknown, uint32(id))
	}
	switch s := p.Status.(type) {
	case thinpool.Working:
		m.Status = &api.PoolInfo_Working_{Working: &api.PoolInfo_Working{
			Transaction: uint64(s.Transaction), UsedMeta: uint64(s.UsedMeta), TotalMeta: uint64(s.TotalMeta),
			UsedData: uint64(s.UsedData), TotalData: uint64(s.TotalData), HeldRoot: uint64(s.HeldRoot), Mode: string(s.Mode),
			NeedsCheck: s.NeedsCheck, ErrorWhenFull: s.ErrorWhenFull, Discard: s.Discard, MetaLowWater: uint64(s.MetaLowWater),
		}}
	case thinpool.Failed:
		m.Status = &api.PoolInfo_Failed_{Failed: &api.PoolInfo_Failed{Word: s.Word}}
	}
	return m
}

// ToPool is the opposite of FromPool.
func ToPool(m *api.PoolInfo) snapshots.PoolInfo {
	p := snapshots.PoolInfo{
		Pool: metadata.Pool{
			Name: m.GetName(), State: metadata.State(m.GetState()), Backing: metadata.Backing(m.GetBacking()), Data: m.GetData(), Metadata: m.GetMetadata(),
			VolumeGroup: m.GetVolumeGroup(), ExistingPool: m.GetExistingPool(), BlockSize: m.GetBlockSize(), LowWater: m.GetLowWater(),
			ErrorWhenFull: m.GetErrorWhenFull(), ExposeDeletedData: m.GetExposeDeletedData(), Filesystem: m.GetFilesystem(),
			MkfsOptions: m.GetMkfsOptions(), BaseSize: m.GetBaseSize(), Created: ToTime(m.GetCreated()),
		},
		Snapshots: int(m.GetSnapshots()), Trash: int(m.GetTrash()), Lost: int(m.GetLost()),
	}
	for _, id := range m.GetUnknown() {
		p.Unknown = append(p.Unknown, dmthin.ThinID(id))
	}
	if w := m.GetWorking(); w != nil {
		p.Status = thinpool.Working{
			Transaction: dmthin.TransactionID(w.GetTransaction()), UsedMeta: dmthin.MetaBlocks(w.GetUsedMeta()), TotalMeta: dmthin.MetaBlocks(w.GetTotalMeta()),
			UsedData: dmthin.DataBlocks(w.GetUsedData()), TotalData: dmthin.DataBlocks(w.GetTotalData()), HeldRoot: dmthin.MetaBlocks(w.GetHeldRoot()), Mode: thinpool.Mode(w.GetMode()),
			NeedsCheck: w.GetNeedsCheck(), ErrorWhenFull: w.GetErrorWhenFull(), Discard: w.GetDiscard(), MetaLowWater: dmthin.MetaBlocks(w.GetMetaLowWater()),
		}
	}
	if f := m.GetFailed(); f != nil {
		p.Status = thinpool.Failed{Word: f.GetWord()}
	}
	return p
}

// FromSuperblock makes a message of the superblock of the pool's metadata.
func FromSuperblock(s dmthin.Superblock) *api.Superblock {
	return &api.Superblock{
		Block: uint64(s.Block), NeedsCheck: s.NeedsCheck, Uuid: s.UUID[:], Version: s.Version, Time: s.Time, Transaction: uint64(s.Transaction),
		HeldRoot: uint64(s.HeldRoot), Mappings: uint64(s.Mappings), Details: uint64(s.Details), DataBlockSize: s.DataBlockSize,
		MetaBlocks: uint64(s.MetaBlocks), DataBlocks: uint64(s.DataBlocks), DataUsed: uint64(s.DataUsed), MetaUsed: uint64(s.MetaUsed),
	}
}

// ToSuperblock is the opposite of FromSuperblock.
func ToSuperblock(m *api.Superblock) dmthin.Superblock {
	s := dmthin.Superblock{
		Block: dmthin.MetaBlocks(m.GetBlock()), NeedsCheck: m.GetNeedsCheck(), Version: m.GetVersion(), Time: m.GetTime(), Transaction: dmthin.TransactionID(m.GetTransaction()),
		HeldRoot: dmthin.MetaBlocks(m.GetHeldRoot()), Mappings: dmthin.MetaBlocks(m.GetMappings()), Details: dmthin.MetaBlocks(m.GetDetails()), DataBlockSize: m.GetDataBlockSize(),
		MetaBlocks: dmthin.MetaBlocks(m.GetMetaBlocks()), DataBlocks: dmthin.DataBlocks(m.GetDataBlocks()), DataUsed: dmthin.DataBlocks(m.GetDataUsed()), MetaUsed: dmthin.MetaBlocks(m.GetMetaUsed()),
	}
	copy(s.UUID[:], m.GetUuid())
	return s
}

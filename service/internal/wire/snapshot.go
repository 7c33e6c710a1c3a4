package wire

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/veneerdm/veneer/metadata/dmthin"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/snapshots"
)

// FromTime makes a message of a time; the zero time is none.
func FromTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// ToTime is the opposite of FromTime.
func ToTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// FromInfo makes a message of a snapshot's description.
func FromInfo(i snapshots.Info) *api.Snapshot {
	return &api.Snapshot{
		Key: i.Key, Parent: i.Parent, Kind: string(i.Kind), Size: i.Size, Filesystem: i.Filesystem,
		ThinId: uint32(i.ThinID), Device: i.Device, Labels: i.Labels, Lost: i.Lost, Created: FromTime(i.Created), Updated: FromTime(i.Updated),
	}
}

// ToInfo is the opposite of FromInfo.
func ToInfo(s *api.Snapshot) snapshots.Info {
	return snapshots.Info{
		Key: s.GetKey(), Parent: s.GetParent(), Kind: snapshots.Kind(s.GetKind()), Size: s.GetSize(), Filesystem: s.GetFilesystem(),
		ThinID: dmthin.ThinID(s.GetThinId()), Device: s.GetDevice(), Labels: s.GetLabels(), Lost: s.GetLost(), Created: ToTime(s.GetCreated()), Updated: ToTime(s.GetUpdated()),
	}
}

// FromMount makes a message of a mount.
func FromMount(m snapshots.Mount) *api.Mount {
	return &api.Mount{Type: m.Type, Source: m.Source, Options: m.Options}
}

// ToMount is the opposite of FromMount.
func ToMount(m *api.Mount) snapshots.Mount {
	return snapshots.Mount{Type: m.GetType(), Source: m.GetSource(), Options: m.GetOptions()}
}

// FromUsage makes a message of what a snapshot costs.
func FromUsage(u snapshots.Usage) *api.SnapshotUsage {
	return &api.SnapshotUsage{Added: u.Added, Mapped: u.Mapped}
}

// ToUsage is the opposite of FromUsage.
func ToUsage(u *api.SnapshotUsage) snapshots.Usage {
	return snapshots.Usage{Added: u.GetAdded(), Mapped: u.GetMapped()}
}

// FromRecord makes a message of another package's record.
func FromRecord(r snapshots.Record) *api.Record { return &api.Record{Name: r.Name, Data: r.Data} }

// ToRecord is the opposite of FromRecord.
func ToRecord(r *api.Record) snapshots.Record {
	return snapshots.Record{Name: r.GetName(), Data: r.GetData()}
}

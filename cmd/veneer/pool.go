package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/thinpool"
)

func (a *app) poolCommand() *cobra.Command {
	return group("pool", "Make, watch, grow and destroy the thin pool",
		a.poolCreate(), a.poolStatus(), a.poolGrow(), a.poolCheck(), a.poolRepair(), a.poolDeactivate(), a.poolDestroy())
}

func (a *app) poolCreate() *cobra.Command {
	var p poolConfig
	c := &cobra.Command{
		Use: "create", Short: "Make the store and its pool", Args: args(0, 0, "no arguments"),
		Long: `Make the store and its thin pool: on sparse files as loop devices (the default), on
two blank block devices, or on LVM. Devices that hold anything are refused.
Everything can be set in the [pool] part of the configuration file as well.`,
		Example: `  veneer pool create --size 200G
  veneer pool create --backing devices --data /dev/sdb1 --metadata /dev/sdb2
  veneer pool create --backing lvm --volume-group vg0 --size 200G
  veneer pool create --backing lvm --existing-pool vg0/thinpool`,
	}
	f := c.Flags()
	f.StringVar(&p.Name, "name", "", "name of the pool's device (default veneer)")
	f.StringVar(&p.Backing, "backing", "", "loop, devices or lvm (default loop)")
	f.StringVar(&p.Data, "data", "", "data file or device")
	f.StringVar(&p.Metadata, "metadata", "", "metadata file or device")
	f.StringVar(&p.VolumeGroup, "volume-group", "", "volume group to make volumes in")
	f.StringVar(&p.ExistingPool, "existing-pool", "", "VG/LV of an empty LVM thin pool")
	f.Var(&p.Size, "size", "size of the data (default 100G)")
	f.Var(&p.MetadataSize, "metadata-size", "size of the metadata (default by the data's)")
	f.Var(&p.BlockSize, "block-size", "size of a data block, 64KiB to 1GiB (default 64KiB)")
	f.StringVar(&p.Filesystem, "filesystem", "", "of new base snapshots: "+strings.Join(filesystem.Names(), " or ")+" (default "+filesystem.Default+")")
	f.StringArrayVar(&p.MkfsOptions, "mkfs-option", nil, "a word for the mkfs command; may be repeated")
	f.Var(&p.BaseSize, "base-size", "size of a new base snapshot (default 10G)")
	f.StringVar(&p.WhenFull, "when-full", "", "error: writes to a full pool fail; queue: they wait (default error)")
	f.BoolVar(&p.ExposeDeletedData, "expose-deleted-data", false, "do not zero new blocks: faster, and containers can read what deleted ones left")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := overlay(a.config.Pool, p).options()
		if err != nil {
			return err
		}
		if err := requireRoot(); err != nil {
			return err
		}
		d, err := snapshots.CreatePool(c.Context(), a.driverConfig(), o)
		if err != nil {
			return err
		}
		info, err := d.Pool(c.Context())
		if err == nil && !a.quiet {
			fmt.Fprintf(a.stdout, "pool %s is ready: %s\n", info.Name, summary(info))
		}
		if err != nil {
			return err
		}
		return d.Close()
	}
	return c
}

// overlay puts what the command line says over what the file says.
func overlay(file, flags poolConfig) poolConfig {
	for _, s := range []struct{ to, from *string }{
		{&file.Name, &flags.Name}, {&file.Backing, &flags.Backing}, {&file.Data, &flags.Data}, {&file.Metadata, &flags.Metadata},
		{&file.VolumeGroup, &flags.VolumeGroup}, {&file.ExistingPool, &flags.ExistingPool},
		{&file.Filesystem, &flags.Filesystem}, {&file.WhenFull, &flags.WhenFull},
	} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	for _, s := range []struct{ to, from *bytesize.Size }{
		{&file.Size, &flags.Size}, {&file.MetadataSize, &flags.MetadataSize}, {&file.BlockSize, &flags.BlockSize}, {&file.BaseSize, &flags.BaseSize},
	} {
		if *s.from != 0 {
			*s.to = *s.from
		}
	}
	if flags.MkfsOptions != nil {
		file.MkfsOptions = flags.MkfsOptions
	}
	file.ExposeDeletedData = file.ExposeDeletedData || flags.ExposeDeletedData
	return file
}

func (p poolConfig) options() (snapshots.PoolOptions, error) {
	switch p.WhenFull {
	case "", "error", "queue":
	default:
		return snapshots.PoolOptions{}, usage("--when-full %q; error and queue are possible", p.WhenFull)
	}
	return snapshots.PoolOptions{
		Name: p.Name, Backing: metadata.Backing(p.Backing), Data: p.Data, Metadata: p.Metadata,
		VolumeGroup: p.VolumeGroup, ExistingPool: p.ExistingPool,
		DataSize: uint64(p.Size), MetadataSize: uint64(p.MetadataSize), BlockSize: uint64(p.BlockSize),
		Filesystem: p.Filesystem, MkfsOptions: p.MkfsOptions, BaseSize: uint64(p.BaseSize),
		QueueWhenFull: p.WhenFull == "queue", ExposeDeletedData: p.ExposeDeletedData,
	}, nil
}

func summary(i snapshots.PoolInfo) string {
	w, ok := i.Status.(thinpool.Working)
	if !ok {
		return "failed"
	}
	return fmt.Sprintf("%s of data in blocks of %s, %s of metadata, %s, %s on %s",
		bytesize.Format(uint64(w.TotalData)*i.BlockSize), bytesize.Format(i.BlockSize), bytesize.Format(w.TotalMeta.Bytes()), w.Mode, i.Filesystem, i.Backing)
}

func (a *app) poolStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the pool's state and space", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withDriver(c.Context(), func(d driver) error { return a.printPool(c.Context(), d) })
		},
	}
}

// poolReport is the pool for programs.
type poolReport struct {
	Name           string `json:"name"`
	Backing        string `json:"backing"`
	Data           string `json:"data"`
	Metadata       string `json:"metadata"`
	Filesystem     string `json:"filesystem"`
	BlockSize      uint64 `json:"blockSize"`
	BaseSize       uint64 `json:"baseSize"`
	Mode           string `json:"mode"`
	NeedsCheck     bool   `json:"needsCheck"`
	WhenFull       string `json:"whenFull"`
	DataUsed       uint64 `json:"dataUsed"`
	DataTotal      uint64 `json:"dataTotal"`
	MetadataUsed   uint64 `json:"metadataUsed"`
	MetadataTotal  uint64 `json:"metadataTotal"`
	Discard        string `json:"discard"`
	SnapshotsEver  int    `json:"snapshotsEver"`
	Trash          int    `json:"trash"`
	UnknownDevices int    `json:"unknownDevices"`
}

func report(i snapshots.PoolInfo) poolReport {
	r := poolReport{
		Name: i.Name, Backing: string(i.Backing), Data: i.Data, Metadata: i.Metadata, Filesystem: i.Filesystem,
		BlockSize: i.BlockSize, BaseSize: i.BaseSize, Mode: "failed", WhenFull: "queue",
		SnapshotsEver: i.Snapshots, Trash: i.Trash, UnknownDevices: len(i.Unknown),
	}
	if i.ExistingPool != "" {
		r.Data = i.ExistingPool
	} else if i.VolumeGroup != "" {
		r.Data, r.Metadata = i.VolumeGroup+"/"+i.Name+"_data", i.VolumeGroup+"/"+i.Name+"_metadata"
	}
	if w, ok := i.Status.(thinpool.Working); ok {
		r.Mode, r.NeedsCheck, r.Discard = string(w.Mode), w.NeedsCheck, w.Discard
		r.DataUsed, r.DataTotal = uint64(w.UsedData)*i.BlockSize, uint64(w.TotalData)*i.BlockSize
		r.MetadataUsed, r.MetadataTotal = w.UsedMeta.Bytes(), w.TotalMeta.Bytes()
		if w.ErrorWhenFull {
			r.WhenFull = "error"
		}
	}
	return r
}

// lines are in the words of the block that docker info showed for devicemapper.
func (r poolReport) lines() []pair {
	return []pair{
		{"Pool Name", r.Name}, {"Pool Blocksize", bytesize.Format(r.BlockSize)}, {"Base Device Size", bytesize.Format(r.BaseSize)},
		{"Backing Filesystem", r.Filesystem}, {"Backing", r.Backing}, {"Data file", r.Data}, {"Metadata file", r.Metadata},
		{"Data Space Used", bytesize.Format(r.DataUsed)}, {"Data Space Total", bytesize.Format(r.DataTotal)}, {"Data Space Available", bytesize.Format(r.DataTotal - r.DataUsed)},
		{"Metadata Space Used", bytesize.Format(r.MetadataUsed)}, {"Metadata Space Total", bytesize.Format(r.MetadataTotal)},
		{"Metadata Space Available", bytesize.Format(r.MetadataTotal - r.MetadataUsed)},
		{"Pool Mode", r.Mode}, {"Needs Check", r.NeedsCheck}, {"When Full", r.WhenFull}, {"Discard", r.Discard},
		{"Snapshots Ever Made", r.SnapshotsEver}, {"Deferred Deleted Device Count", r.Trash}, {"Unknown Devices", r.UnknownDevices},
	}
}

func (a *app) printPool(ctx context.Context, d driver) error {
	i, err := d.Pool(ctx)
	if err != nil {
		return err
	}
	r := report(i)
	return describe(a, r, r.lines())
}

func (a *app) poolGrow() *cobra.Command {
	var data, meta bytesize.Size
	c := &cobra.Command{
		Use: "grow", Short: "Make the pool larger while it is in use", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if data == 0 && meta == 0 {
				return usage("say how large with --size or --metadata-size")
			}
			return a.withDriver(c.Context(), func(d driver) error {
				if err := d.GrowPool(c.Context(), uint64(data), uint64(meta)); err != nil {
					return err
				}
				return a.printPool(c.Context(), d)
			})
		},
	}
	c.Flags().Var(&data, "size", "new size of the data")
	c.Flags().Var(&meta, "metadata-size", "new size of the metadata")
	return c
}

func (a *app) poolDestroy() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "destroy NAME --yes", Short: "Destroy the pool with everything in it", Args: args(1, 1, "the pool's name"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.withLocal(c.Context(), func(d *snapshots.Driver) error {
				i, err := d.Pool(c.Context())
				if err != nil {
					return err
				}
				if i.Name != given[0] {
					return usage("the pool in %s is called %q and not %q", a.root, i.Name, given[0])
				}
				if !yes {
					return usage("all images and containers in pool %q would be destroyed; say --yes if they shall", i.Name)
				}
				if err := d.DestroyPool(c.Context()); err != nil {
					return err
				}
				return removeContent(a.root)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "yes, destroy all images and containers")
	return c
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// The pool whose usage is counted.
const (
	mappedDevices   = 4
	mappedPerDevice = 250_000
)

var (
	thinLs      = command.Program{Name: "thin_ls", Package: "thin-provisioning-tools"}
	thinRestore = command.Program{Name: "thin_restore", Package: "thin-provisioning-tools"}
)

// mappings counts the usage of a pool with a million mappings, as thin_ls does.
func (b *bench) mappings(ctx context.Context) error {
	file, err := b.restored(ctx)
	if err != nil {
		return err
	}
	all, err := b.interleave(ctx, 5, side{run: func() error {
		_, err := thinLs.Run(ctx, "--no-headers", "-o", "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS", file)
		return err
	}}, side{run: func() error { return usage(ctx, file) }})
	if err != nil {
		return err
	}
	b.add(against("usage, a million mappings", "thin_ls", all[0], all[1], 0.2))
	return nil
}

func usage(ctx context.Context, file string) (err error) {
	f, err := dmthin.OpenDirect(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m, err := dmthin.Open(f)
	if err != nil {
		return err
	}
	all, err := m.Usage(ctx)
	if err == nil && (len(all) != mappedDevices || all[0].Mapped != mappedPerDevice) {
		err = fmt.Errorf("usage of %d devices, the first with %d blocks", len(all), all[0].Mapped)
	}
	return err
}

// restored has thin_restore make the metadata, in runs of random length: what
// files on a filesystem in use look like.
func (b *bench) restored(ctx context.Context) (string, error) {
	description, file := filepath.Join(b.dir, "pool.xml"), filepath.Join(b.dir, "pool.metadata")
	f, err := os.Create(description)
	if err != nil {
		return "", err
	}
	w, r := bufio.NewWriter(f), rand.New(rand.NewPCG(5, 5))
	fmt.Fprintf(w, "<superblock uuid=\"\" time=\"9\" transaction=\"1\" data_block_size=\"128\" nr_data_blocks=\"4000000\">\n")
	for id := range mappedDevices {
		fmt.Fprintf(w, "<device dev_id=\"%d\" mapped_blocks=\"%d\" transaction=\"0\" creation_time=\"0\" snap_time=\"0\">\n", id, mappedPerDevice)
		for i := range mappedPerDevice {
			fmt.Fprintf(w, "<single_mapping origin_block=\"%d\" data_block=\"%d\" time=\"0\"/>\n", i, id*mappedPerDevice+i^r.IntN(2))
		}
		fmt.Fprintln(w, "</device>")
	}
	fmt.Fprintln(w, "</superblock>")
	if err := errors.Join(w.Flush(), f.Close(), os.WriteFile(file, nil, 0o600), os.Truncate(file, 32768*dmthin.MetaBlockSize)); err != nil {
		return "", err
	}
	_, err = thinRestore.Run(ctx, "-i", description, "-o", file)
	return file, err
}

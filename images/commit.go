package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/snapshots"
)

// CommitOptions change how Commit works.
type CommitOptions struct {
	// Base is the image the container was made from; default: the one image whose
	// top layer the container stands on.
	Base string
	// Author and Comment go into the history.
	Author, Comment string
	// Changes to the configuration, each as in a Dockerfile: CMD, ENTRYPOINT, ENV,
	// WORKDIR, USER, LABEL, EXPOSE, VOLUME or STOPSIGNAL.
	Changes []string
	// Created is the time of the new image; default: now.
	Created time.Time
	// Progress hears how the new layer is applied.
	Progress Progress
	// Snapshot goes with every snapshot made.
	Snapshot []snapshots.Option
}

// Commit makes a new image called name out of an image and what a container - a
// writable snapshot - has changed of it. The container may be mounted and at
// work: a clone is looked at. The new layer is stored as a snapshot like any
// other, by applying it.
func (s *Store) Commit(ctx context.Context, container, name string, opts CommitOptions) (Record, error) {
	name, err := ParseName(name)
	if err != nil {
		return Record{}, err
	}
	record, err := s.commit(ctx, container, name, opts)
	if err != nil {
		return Record{}, fmt.Errorf("commit %q: %w", container, err)
	}
	return record, nil
}

func (s *Store) commit(ctx context.Context, container, name string, opts CommitOptions) (Record, error) {
	info, err := s.snapshots.Stat(ctx, container)
	if err != nil {
		return Record{}, err
	}
	base, err := s.base(info, opts.Base)
	if err != nil {
		return Record{}, err
	}
	config, err := s.Config(base)
	if err != nil {
		return Record{}, err
	}
	if err := applyChanges(&config.Config, opts.Changes); err != nil {
		return Record{}, err
	}
	pins := &pinSet{pins: &s.pins}
	defer pins.drop()
	for _, l := range base.Layers {
		pins.add(l.Digest.String(), l.ChainID.String())
	}
	created, err := s.packLayer(ctx, pins, container, info.Parent)
	if err != nil {
		return Record{}, err
	}
	if opts.Created.IsZero() {
		opts.Created = time.Now()
	}
	record := base
	record.Name = name
	record.Imported = time.Now().UTC()
	record.Created = opts.Created.UTC()
	record.Layers = appendLayer(base.Layers, created)
	pins.add(record.Top())
	if err := s.describe(ctx, pins, &record, config, opts); err != nil {
		return Record{}, err
	}
	if err := s.applyTop(ctx, record, opts); err != nil {
		return Record{}, err
	}
	return record, s.record(ctx, record)
}

// base finds the image that a container was made from.
func (s *Store) base(info snapshots.Info, given string) (Record, error) {
	if given != "" {
		r, err := s.Lookup(given)
		if err == nil && r.Top() != info.Parent {
			err = fmt.Errorf("the container does not stand on image %s: %w", r.Name, ErrInvalidReference)
		}
		return r, err
	}
	records, err := s.catalog.images()
	if err != nil {
		return Record{}, err
	}
	var found []Record
	for _, r := range records {
		if r.Top() == info.Parent {
			found = append(found, r)
		}
	}
	if len(found) == 0 {
		return Record{}, fmt.Errorf("no image has the layer %q that the container stands on: %w", info.Parent, ErrNotFound)
	}
	for _, r := range found[1:] {
		if r.ID() != found[0].ID() {
			return Record{}, fmt.Errorf("the container may be of %s or %s, say which: %w", found[0].Name, r.Name, ErrAmbiguous)
		}
	}
	return found[0], nil
}

// packLayer stores what a container has changed as a compressed layer.
func (s *Store) packLayer(ctx context.Context, pins *pinSet, container, parent string) (Layer, error) {
	var l Layer
	err := s.compare(ctx, container, parent, func(lower, upper Tree) error {
		diffID := digest.SHA256.Digester()
		blob, size, err := s.content.Add(func(w io.Writer) error {
			z := gzip.NewWriter(w)
			_, err := layer.Diff(ctx, lower, upper, io.MultiWriter(z, diffID.Hash()), s.diffOptions())
			return errors.Join(err, z.Close())
		}, func(d digest.Digest) (release func(), err error) {
			pins.add(d.String())
			return s.blobLocks.Lock(ctx, d.String())
		})
		if err != nil {
			return err
		}
		l = Layer{Digest: blob, Size: size, MediaType: ocispec.MediaTypeImageLayerGzip, DiffID: diffID.Digest()}
		return nil
	})
	return l, err
}

func appendLayer(layers []Layer, l Layer) []Layer {
	diffIDs := make([]digest.Digest, 0, len(layers)+1)
	for _, below := range layers {
		diffIDs = append(diffIDs, below.DiffID)
	}
	l.ChainID = identity.ChainID(append(diffIDs, l.DiffID))
	return append(slices.Clip(layers), l)
}

// describe writes the configuration and the manifest of a new image.
func (s *Store) describe(ctx context.Context, pins *pinSet, r *Record, config ocispec.Image, opts CommitOptions) error {
	created := r.Created
	config.Created = &created
	config.Author = opts.Author
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = nil
	layers := make([]ocispec.Descriptor, len(r.Layers))
	for i, l := range r.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		layers[i] = ocispec.Descriptor{MediaType: ociLayerType(l.MediaType), Digest: l.Digest, Size: l.Size}
	}
	config.History = append(config.History, ocispec.History{
		Created: &created, CreatedBy: strings.Join(append([]string{"veneer commit"}, opts.Changes...), " "),
		Author: opts.Author, Comment: opts.Comment,
	})
	old, err := s.content.Read(r.Config.Digest)
	if err != nil {
		return err
	}
	raw, err := mergeConfig(old, config)
	if err != nil {
		return err
	}
	if r.Config, err = s.addBlob(ctx, pins, ocispec.MediaTypeImageConfig, raw); err != nil {
		return err
	}
	raw, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: r.Config, Layers: layers,
	})
	if err != nil {
		return err
	}
	r.Manifest, err = s.addBlob(ctx, pins, ocispec.MediaTypeImageManifest, raw)
	return err
}

// ociLayerType translates docker's media types, which no OCI manifest may hold.
func ociLayerType(t string) string {
	switch t {
	case "application/vnd.docker.image.rootfs.diff.tar.gzip":
		return ocispec.MediaTypeImageLayerGzip
	case "application/vnd.docker.image.rootfs.diff.tar.zstd":
		return ocispec.MediaTypeImageLayerZstd
	case "application/vnd.docker.image.rootfs.diff.tar":
		return ocispec.MediaTypeImageLayer
	}
	return t
}

func (s *Store) addBlob(ctx context.Context, pins *pinSet, mediaType string, raw []byte) (ocispec.Descriptor, error) {
	d := digest.FromBytes(raw)
	pins.add(d.String())
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer unlock()
	_, err = s.content.AddBytes(ctx, raw)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(raw))}, err
}

// applyTop makes the snapshot of an image's last layer.
func (s *Store) applyTop(ctx context.Context, r Record, opts CommitOptions) error {
	p := &pending{index: len(r.Layers) - 1}
	err := s.ensureLayer(ctx, r.Layers, p, newReporter(r.Name, r.Layers, opts.Progress), opts.Snapshot)
	return errors.Join(err, p.close())
}

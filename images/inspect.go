package images

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/snapshots"
)

// Images lists the records of all images, sorted by name.
func (s *Store) Images() ([]Record, error) { return s.catalog.images() }

// Config reads an image's configuration.
func (s *Store) Config(r Record) (ocispec.Image, error) {
	var img ocispec.Image
	raw, err := s.content.Read(r.Config.Digest)
	if err != nil {
		return img, fmt.Errorf("configuration of %s: %w", r.Name, err)
	}
	if err := json.Unmarshal(raw, &img); err != nil {
		return img, fmt.Errorf("configuration of %s: %w: %w", r.Name, ErrMalformed, err)
	}
	return img, nil
}

// Step is one step of an image's history.
type Step struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"createdBy"`
	Author    string    `json:"author,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	// Layer is nil for a step that changed only the configuration.
	Layer *Layer `json:"layer,omitempty"`
	// Size is what the layer adds in the pool, in bytes.
	Size uint64 `json:"size"`
}

// History lists how an image was built, the last step first. Layers that its
// configuration has no history for are listed without one.
func (s *Store) History(ctx context.Context, ref string) ([]Step, error) {
	r, err := s.Lookup(ref)
	if err != nil {
		return nil, err
	}
	img, err := s.Config(r)
	if err != nil {
		return nil, err
	}
	var steps []Step
	next := 0
	add := func(step Step, empty bool) error {
		if !empty && next < len(r.Layers) {
			step.Layer = &r.Layers[next]
			next++
			usage, err := s.usage(ctx, step.Layer.ChainID)
			if err != nil {
				return err
			}
			step.Size = usage.Added
		}
		steps = append(steps, step)
		return nil
	}
	for _, h := range img.History {
		step := Step{CreatedBy: h.CreatedBy, Author: h.Author, Comment: h.Comment}
		if h.Created != nil {
			step.Created = h.Created.UTC()
		}
		if err := add(step, h.EmptyLayer); err != nil {
			return nil, err
		}
	}
	for next < len(r.Layers) {
		if err := add(Step{}, false); err != nil {
			return nil, err
		}
	}
	slices.Reverse(steps)
	return steps, nil
}

// usage is the driver's answer, zero for a layer that is missing.
func (s *Store) usage(ctx context.Context, chain digest.Digest) (snapshots.Usage, error) {
	u, err := s.snapshots.Usage(ctx, chain.String())
	if errors.Is(err, snapshots.ErrNotFound) {
		return snapshots.Usage{}, nil
	}
	return u, err
}

// Size is what an image costs, in bytes.
type Size struct {
	Image  Record `json:"image"`
	Unique uint64 `json:"unique"` // in layers that no other image has
	Shared uint64 `json:"shared"` // in layers that others have too
	Blobs  int64  `json:"blobs"`  // in the content store, shared or not
}

// DiskUsage gives the size of every image, sorted by name, and what all layers
// take together, each counted once.
func (s *Store) DiskUsage(ctx context.Context) (sizes []Size, total uint64, err error) {
	records, err := s.catalog.images()
	if err != nil {
		return nil, 0, err
	}
	users := map[digest.Digest]map[digest.Digest]bool{} // of a layer: image IDs
	added := map[digest.Digest]uint64{}
	for _, r := range records {
		for _, l := range r.Layers {
			if users[l.ChainID] == nil {
				users[l.ChainID] = map[digest.Digest]bool{}
				u, err := s.usage(ctx, l.ChainID)
				if err != nil {
					return nil, 0, err
				}
				added[l.ChainID] = u.Added
				total += u.Added
			}
			users[l.ChainID][r.ID()] = true
		}
	}
	for _, r := range records {
		size := Size{Image: r}
		for _, l := range r.Layers {
			if len(users[l.ChainID]) > 1 {
				size.Shared += added[l.ChainID]
			} else {
				size.Unique += added[l.ChainID]
			}
		}
		for _, d := range r.blobs() {
			if n, err := s.content.Stat(d); err == nil {
				size.Blobs += n
			}
		}
		sizes = append(sizes, size)
	}
	return sizes, total, nil
}

// Node is a layer in the tree of all layers.
type Node struct {
	ChainID   digest.Digest `json:"chainID"`
	CreatedBy string        `json:"createdBy,omitempty"` // the first line of the history that some image has for it
	Added     uint64        `json:"added"`               // bytes it adds to its parent in the pool
	Images    []string      `json:"images,omitempty"`    // whose top it is
	// Containers are the keys of the other snapshots that stand on it.
	Containers []string `json:"containers,omitempty"`
	Children   []*Node  `json:"children,omitempty"`
}

// Tree shows how images share layers: the bottom layers, with what stands on
// them. Siblings are sorted by ChainID.
func (s *Store) Tree(ctx context.Context) ([]*Node, error) {
	records, err := s.catalog.images()
	if err != nil {
		return nil, err
	}
	nodes := map[string]*Node{}
	var roots []*Node
	for _, r := range records {
		by := s.createdBy(r)
		var below *Node
		for i, l := range r.Layers {
			n := nodes[l.ChainID.String()]
			if n == nil {
				n = &Node{ChainID: l.ChainID, CreatedBy: by[i]}
				u, err := s.usage(ctx, l.ChainID)
				if err != nil {
					return nil, err
				}
				n.Added = u.Added
				nodes[l.ChainID.String()] = n
				if below == nil {
					roots = append(roots, n)
				} else {
					below.Children = append(below.Children, n)
				}
			}
			below = n
		}
		if below != nil {
			below.Images = append(below.Images, r.Name)
		}
	}
	err = s.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if n := nodes[info.Parent]; n != nil && !layerKey(info.Key) {
			n.Containers = append(n.Containers, info.Key)
		}
		return nil
	})
	sortNodes(roots)
	return roots, err
}

// createdBy gives for each layer of an image the history's word on it, as far as
// there is one.
func (s *Store) createdBy(r Record) []string {
	by := make([]string, len(r.Layers))
	img, err := s.Config(r)
	if err != nil {
		return by // a damaged configuration must not hide the tree
	}
	i := 0
	for _, h := range img.History {
		if !h.EmptyLayer && i < len(by) {
			by[i] = h.CreatedBy
			i++
		}
	}
	return by
}

func sortNodes(nodes []*Node) {
	slices.SortFunc(nodes, func(a, b *Node) int { return cmp.Compare(a.ChainID, b.ChainID) })
	for _, n := range nodes {
		slices.Sort(n.Containers)
		sortNodes(n.Children)
	}
}

package imagestest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/veneerdm/veneer/images"
)

// Catalog keeps records in memory, as JSON, as a real catalog does. The zero
// value is ready to use.
type Catalog struct {
	mu      sync.Mutex
	records map[string][]byte
}

var _ images.Catalog = (*Catalog)(nil)

// PutImage implements images.Catalog.
func (c *Catalog) PutImage(r images.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records == nil {
		c.records = map[string][]byte{}
	}
	raw, err := json.Marshal(r)
	c.records[r.Name] = raw
	return err
}

// Image implements images.Catalog.
func (c *Catalog) Image(name string) (images.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r images.Record
	raw, ok := c.records[name]
	if !ok {
		return r, fmt.Errorf("image %q: %w", name, images.ErrNotFound)
	}
	return r, json.Unmarshal(raw, &r)
}

// Images implements images.Catalog.
func (c *Catalog) Images() ([]images.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]images.Record, 0, len(c.records))
	for _, name := range slices.Sorted(maps.Keys(c.records)) {
		var r images.Record
		if err := json.Unmarshal(c.records[name], &r); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// DeleteImage implements images.Catalog.
func (c *Catalog) DeleteImage(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.records[name]; !ok {
		return fmt.Errorf("image %q: %w", name, images.ErrNotFound)
	}
	delete(c.records, name)
	return nil
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Site is where a case runs: one backend's store, and the sample being taken.
type Site struct {
	Store Store
	Disk  Disk
	Scale Scale
	// Checking is set in the round that is thrown away: cases verify then what their
	// container shows.
	Checking bool

	containers []*Container
	made       int
	sample     map[string]float64
	outcome    string
	refused    bool
}

// A Container is started and goes away with the sample.
type Container struct {
	Name string
	Dir  string // its files

	mounted, removed bool
}

// Container creates and starts a container of a layer.
func (s *Site) Container(ctx context.Context, layer string) (*Container, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := s.Named()
	if err := s.Create(ctx, c, layer); err != nil {
		return nil, err
	}
	return c, s.Start(ctx, c)
}

// Named announces a container that the case makes by itself, so that it goes away with
// the sample. Its name is new.
func (s *Site) Named() *Container {
	s.made++
	c := &Container{Name: fmt.Sprintf("c%d", s.made), removed: true}
	s.containers = append(s.containers, c)
	return c
}

// Create makes the container of a layer without starting it.
func (s *Site) Create(ctx context.Context, c *Container, layer string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.Store.Create(ctx, c.Name, layer)
	c.removed = err != nil
	return err
}

// Start mounts a container's files.
func (s *Site) Start(ctx context.Context, c *Container) (err error) {
	c.Dir, err = s.Store.Mount(ctx, c.Name)
	c.mounted = err == nil
	return err
}

// Stop unmounts a container's files.
func (s *Site) Stop(ctx context.Context, c *Container) error {
	err := s.Store.Unmount(ctx, c.Name)
	if err == nil {
		c.mounted = false
	}
	return err
}

// Remove destroys a stopped container before the sample ends.
func (s *Site) Remove(ctx context.Context, c *Container) error {
	err := s.Store.Remove(ctx, c.Name)
	if err == nil {
		c.removed = true
	}
	return err
}

// Measure brings everything onto the disk, does f, and records how long f took, what
// was written and read until all was on the disk again, and what that allocated.
func (s *Site) Measure(ctx context.Context, f func() error) error {
	if err := s.Store.Settle(ctx); err != nil {
		return err
	}
	stored, err := s.Store.Stored(ctx)
	if err != nil {
		return err
	}
	before, err := s.Disk.Count()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := f(); err != nil {
		return err
	}
	took := time.Since(began)
	if err := s.Store.Settle(ctx); err != nil {
		return err
	}
	after, err := s.Disk.Count()
	if err != nil {
		return err
	}
	now, err := s.Store.Stored(ctx)
	if err != nil {
		return err
	}
	if s.refused {
		return nil
	}
	io := after.Since(before)
	s.Record(Time, took.Seconds())
	s.Record(Written, float64(io.WrittenBytes))
	s.Record(Read, float64(io.ReadBytes))
	s.Record(Stored, float64(now.Used)-float64(stored.Used))
	return nil
}

// MeasureCold is Measure with the page cache dropped first.
func (s *Site) MeasureCold(ctx context.Context, f func() error) error {
	if err := s.Chill(ctx); err != nil {
		return err
	}
	return s.Measure(ctx, f)
}

// Chill brings everything onto the disk and drops the kernel's clean caches.
func (s *Site) Chill(ctx context.Context) error {
	if err := s.Store.Settle(ctx); err != nil {
		return err
	}
	return dropCaches()
}

// Time records how long f takes as a metric, and nothing else.
func (s *Site) Time(m Metric, f func() error) error {
	began := time.Now()
	if err := f(); err != nil {
		return err
	}
	s.Record(m, time.Since(began).Seconds())
	return nil
}

// Record adds a number to the sample, or replaces it.
func (s *Site) Record(m Metric, value float64) { s.sample[m.Name] = value }

// Forget drops numbers from the sample that mean nothing in this case.
func (s *Site) Forget(metrics ...Metric) {
	for _, m := range metrics {
		delete(s.sample, m.Name)
	}
}

// Outcome records in a word or two what an application saw, such as "EXDEV".
func (s *Site) Outcome(format string, args ...any) { s.outcome = fmt.Sprintf(format, args...) }

// Refused records as the outcome that the system refused what was asked, by the name of
// the error. What is being measured is not recorded then: a refusal is no speed.
func (s *Site) Refused(name string) { s.outcome, s.refused = name, true }

// begin starts a sample.
func (s *Site) begin(checking bool) {
	s.Checking, s.sample, s.outcome, s.refused = checking, map[string]float64{}, "", false
}

// end takes away what the sample used.
func (s *Site) end(ctx context.Context) error {
	var errs []error
	for _, c := range s.containers {
		if c.mounted {
			errs = append(errs, s.Stop(ctx, c))
		}
		if !c.removed {
			errs = append(errs, s.Store.Remove(ctx, c.Name))
		}
	}
	s.containers = nil
	return errors.Join(append(errs, s.Store.Settle(ctx))...)
}

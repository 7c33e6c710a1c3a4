package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	imageName = "docker.io/library/nginx:latest"
	// startsPerRound is how many containers a round starts on each side.
	startsPerRound = 2
)

// containers measures unpacking an image and starting a container through
// containerd.
func (b *bench) containers(ctx context.Context) (err error) {
	h, err := b.newHost(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.makeArchive(ctx); err != nil {
		return err
	}
	unpack := row{operation: "unpack nginx", overlayLimit: 1.2}
	synced := row{operation: "unpack nginx, and sync"}
	started := row{operation: "start a container", overlayLimit: 1.2}
	counted, err := h.countedRound(ctx)
	if err != nil {
		return err
	}
	for k, d := range counted {
		unpack.programs[k], started.programs[k] = fmt.Sprint(d.unpackPrograms), fmt.Sprint(d.startPrograms)
	}
	if err := h.start(ctx); err != nil {
		return err
	}
	for i := range b.rounds {
		r, err := h.round(ctx, i, startsPerRound, nil)
		if err != nil {
			return err
		}
		for k := range sideNames {
			unpack.took[k] = append(unpack.took[k], r[k].unpack)
			synced.took[k] = append(synced.took[k], r[k].synced)
			started.took[k] = append(started.took[k], r[k].starts...)
		}
		fmt.Fprintf(os.Stderr, "bench-containerd: round %d of %d: unpacked in %s, %s and %s\n", i+1, b.rounds,
			duration(r[ours].unpack), duration(r[devmapperSide].unpack), duration(r[overlaySide].unpack))
	}
	b.table.add(unpack)
	b.table.add(synced)
	b.table.add(started)
	return nil
}

// countedRound counts programs, which costs time, and fills caches.
func (h *host) countedRound(ctx context.Context) (r [sideCount]done, err error) {
	c, err := h.b.startCounting()
	if err != nil {
		return r, err
	}
	err = h.start(ctx)
	if err == nil {
		r, err = h.round(ctx, 0, 1, c.count)
	}
	return r, errors.Join(err, h.stop(), c.stop())
}

// makeArchive brings the image into a form that every containerd reads.
func (h *host) makeArchive(ctx context.Context) error {
	for _, args := range [][]string{
		{"image", "import", "oci:" + h.b.layout + ":nginx:demo", "--name", "nginx"},
		{"image", "save", "nginx", "--to", "docker-archive", "--output", h.archive()},
		{"image", "rm", "nginx"},
	} {
		if _, err := h.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) archive() string { return filepath.Join(h.dir, "nginx.tar") }

// done is what one round found out about one side.
type done struct {
	unpack, synced                time.Duration
	starts                        []time.Duration
	unpackPrograms, startPrograms int
}

// round imports the image, unpacks it for each side, starts containers on each and
// removes it all. Each round begins with another side.
func (h *host) round(ctx context.Context, i, starts int, programs func() (int, error)) (r [sideCount]done, err error) {
	if programs == nil {
		programs = func() (int, error) { return 0, nil }
	}
	if _, err := h.ctr(ctx, "images", "import", "--no-unpack", h.archive()); err != nil {
		return r, err
	}
	digest, err := h.digest(ctx)
	if err != nil {
		return r, err
	}
	for j := range sideNames {
		k := (i + j) % len(sideNames)
		if err := h.quiet(ctx); err != nil {
			return r, err
		}
		counted, err := programs()
		if err != nil {
			return r, err
		}
		began := time.Now()
		// For this verb of containerd 1.6 the flag has to stand behind it.
		if _, err := h.ctr(ctx, "snapshots", "unpack", "--snapshotter", sideNames[k], digest); err != nil {
			return r, err
		}
		r[k].unpack = time.Since(began)
		unix.Sync()
		r[k].synced = time.Since(began)
		now, err := programs()
		if err != nil {
			return r, err
		}
		r[k].unpackPrograms = now - counted
	}
	for s := range starts {
		for j := range sideNames {
			k := (i + s + j) % len(sideNames)
			if err := h.quiet(ctx); err != nil {
				return r, err
			}
			counted, err := programs()
			if err != nil {
				return r, err
			}
			began := time.Now()
			id := fmt.Sprintf("c-%d-%d-%d", i, s, k)
			if _, err := h.ctr(ctx, "run", "--rm", "--snapshotter", sideNames[k], imageName, id, "true"); err != nil {
				return r, err
			}
			r[k].starts = append(r[k].starts, time.Since(began))
			if err := h.quiet(ctx); err != nil {
				return r, err
			}
			now, err := programs()
			if err != nil {
				return r, err
			}
			r[k].startPrograms = now - counted
		}
	}
	// Garbage collection removes the snapshots and waits for their space.
	_, err = h.ctr(ctx, "images", "rm", "--sync", imageName)
	return r, err
}

// quiet lets containerd collect its garbage, as it does by itself some time after a
// snapshot's removal, and flushes all disks: no side pays for another's.
func (h *host) quiet(ctx context.Context) error {
	if _, err := h.ctr(ctx, "leases", "create", "--id", "bench"); err != nil {
		return err
	}
	_, err := h.ctr(ctx, "leases", "delete", "--sync", "bench")
	unix.Sync()
	return err
}

func (h *host) digest(ctx context.Context) (string, error) {
	list, err := h.ctr(ctx, "images", "ls", "name=="+imageName)
	if err != nil {
		return "", err
	}
	for field := range strings.FieldsSeq(list) {
		if strings.HasPrefix(field, "sha256:") {
			return field, nil
		}
	}
	return "", fmt.Errorf("containerd does not list %s after its import: %q", imageName, list)
}

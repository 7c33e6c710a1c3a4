package images

import (
	"sync"

	digest "github.com/opencontainers/go-digest"
)

// Phase is what happens to a layer.
type Phase string

// The phases of a layer, in their order.
const (
	PhaseWaiting     Phase = "waiting"
	PhaseDownloading Phase = "downloading" // its blob comes in
	PhaseApplying    Phase = "applying"    // its content goes into a snapshot
	PhaseUploading   Phase = "uploading"   // Push sends its blob
	PhaseDone        Phase = "done"
	PhaseExists      Phase = "exists" // it was there already
)

// Event tells of progress with one layer.
type Event struct {
	// Image is the image's name.
	Image string
	// Index counts the layers from 0, bottom first; Layers is how many there are.
	Index, Layers int
	// Digest is that of the layer's blob.
	Digest digest.Digest
	Phase  Phase
	// Bytes of Total compressed bytes are behind us in this phase.
	Bytes, Total int64
}

// Progress hears of events. Calls come one at a time. It should return soon: the
// work waits for it.
type Progress func(Event)

// reportStep is how many bytes pass between two events of a phase.
const reportStep = 1 << 20

// reporter sends the events of one operation.
type reporter struct {
	mu     sync.Mutex
	image  string
	layers []Layer
	send   Progress
}

func newReporter(image string, layers []Layer, send Progress) *reporter {
	r := &reporter{image: image, layers: layers, send: send}
	for i := range layers {
		r.report(i, PhaseWaiting, 0)
	}
	return r
}

func (r *reporter) report(i int, phase Phase, bytes int64) {
	if r.send == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.layers[i]
	if phase == PhaseDone || phase == PhaseExists {
		bytes = l.Size
	}
	r.send(Event{
		Image: r.image, Index: i, Layers: len(r.layers), Digest: l.Digest,
		Phase: phase, Bytes: bytes, Total: l.Size,
	})
}

// meter turns a count that moves in small steps into events in larger ones.
func (r *reporter) meter(i int, phase Phase) func(now int64) {
	last := int64(-1)
	return func(now int64) {
		if last < 0 || now < last || now-last >= reportStep {
			last = now
			r.report(i, phase, now)
		}
	}
}

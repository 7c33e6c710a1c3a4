package bench

import (
	"crypto/sha256"
	"time"

	"github.com/veneerdm/veneer/bench/stats"
)

// Environment describes the machine of a run. What could not be found out is "".
type Environment struct {
	Kernel      string            `json:"kernel"`
	CPU         string            `json:"cpu"`
	CPUs        int               `json:"cpus"`
	Memory      uint64            `json:"memory"`            // bytes
	System      string            `json:"system"`            // the distribution
	Virtual     string            `json:"virtual,omitempty"` // kind of virtual machine that cowbench started for itself
	Backing     string            `json:"backing"`           // what the stores' disks are made of
	DiskSize    uint64            `json:"diskSize"`          // bytes of each
	Versions    map[string]string `json:"versions"`          // of tools
	Calibration Calibration       `json:"calibration"`
}

// Calibration is the same piece of arithmetic before and after the run: it takes the
// same time on a machine that does nothing else.
type Calibration struct {
	Before Samples `json:"before"` // seconds
	After  Samples `json:"after"`
	// Noise is how far the slowest lies above the fastest, as a part of the fastest.
	Noise float64 `json:"noise"`
}

// Loud is the Noise above which reports warn of everything measured.
const Loud = 0.25

func calibrate() Calibration { return Calibration{Before: Summarise(work())} }

func (c Calibration) end() Calibration {
	c.After = Summarise(work())
	fastest, slowest := c.After.Raw[0], c.After.Raw[0]
	for _, t := range append(c.Before.Raw, c.After.Raw...) {
		fastest, slowest = min(fastest, t), max(slowest, t)
	}
	c.Noise = slowest/fastest - 1
	return c
}

// work times pure arithmetic, a few milliseconds each.
func work() []float64 {
	block := make([]byte, 1<<20)
	times := make([]float64, 11)
	for i := range times {
		began := time.Now()
		for range 4 {
			sum := sha256.Sum256(block)
			copy(block, sum[:])
		}
		times[i] = time.Since(began).Seconds()
	}
	return times[1:]
}

// Spread is the half width of the interval as a part of the median.
func (s Samples) Spread() float64 { return stats.Spread(s.Median, s.Low, s.High) }

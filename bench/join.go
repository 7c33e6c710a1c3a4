package bench

import (
	"errors"
	"fmt"
	"slices"
)

// ErrUnlike says that results are not parts of one.
var ErrUnlike = errors.New("results of different runs")

// Join makes one result of several that measured different scenarios with one version
// of the program on one machine: a long run, taken in pieces. Not each piece need have
// every backend. The error wraps ErrUnlike and says what differs.
func Join(parts ...*Result) (*Result, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrUnlike)
	}
	joined := *parts[0]
	joined.Command = append([]string(nil), joined.Command...)
	asked := map[string]bool{}
	for i, p := range parts {
		for what, differ := range map[string]bool{
			"versions": p.Version != joined.Version, "scales": p.Scale != joined.Scale, "kernels": p.Environment.Kernel != joined.Environment.Kernel,
			"processors": p.Environment.CPU != joined.Environment.CPU, "disks": p.Environment.Backing != joined.Environment.Backing || p.Environment.DiskSize != joined.Environment.DiskSize,
			"backends": conflict(p.Backends, joined.Backends),
		} {
			if differ {
				return nil, fmt.Errorf("%w: their %s differ, so they are for compare and cannot be joined", ErrUnlike, what)
			}
		}
		for _, s := range p.Scenarios {
			if asked[s.Name] {
				return nil, fmt.Errorf("%w: %s is in two of them", ErrUnlike, s.Name)
			}
			asked[s.Name] = true
		}
		if i == 0 {
			continue
		}
		joined.Command = append(append(joined.Command, "&&"), p.Command...)
		joined.Seconds += p.Seconds
		joined.Scenarios = append(slices.Clip(joined.Scenarios), p.Scenarios...)
		joined.Backends = unite(joined.Backends, p.Backends)
		joined.Cells = append(slices.Clip(joined.Cells), p.Cells...)
		joined.Environment.Calibration.Noise = max(joined.Environment.Calibration.Noise, p.Environment.Calibration.Noise)
	}
	return &joined, nil
}

// conflict tells whether one name means two things.
func conflict(a, b []Side) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Name == y.Name && x != y {
				return true
			}
		}
	}
	return false
}

// unite adds what is not there.
func unite(a, b []Side) []Side {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

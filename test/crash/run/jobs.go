package main

import (
	"fmt"
	"regexp"
	"time"
)

// A job is one run of one package's test binary. Its log and its rows are files of its
// name in the results' folder.
type job struct {
	name  string
	pkg   string // its folder, from the top of the repository
	tags  string // build tags
	vm    bool   // in a virtual machine, not on the host
	tests string // -test.run
	args  []string
	// limit only bounds a job that hangs: it is a multiple of what the job takes on a
	// slow machine.
	limit time.Duration
}

// hang is the limit of a job, where nothing else is said. All jobs of the crash suite
// together take a quarter of an hour on two idle cores.
const hang = 2 * time.Hour

func inVM(name, pkg, tests string, args ...string) job {
	return job{name: name, pkg: pkg, vm: true, tests: tests, args: args, limit: hang}
}

func onHost(name, pkg, tests string, args ...string) job {
	return job{name: name, pkg: pkg, tests: tests, args: args, limit: hang}
}

func (j job) tagged(tags string) job {
	j.tags = tags
	return j
}

func (j job) within(limit time.Duration) job {
	j.limit = limit
	return j
}

// settings are what the command line says about jobs.
type settings struct {
	seed uint64
	soak time.Duration
}

// suites are the lists of jobs. Two jobs run at once, in the order of the list, so the
// longest come first.
var suites = map[string]func(settings) []job{"crash": crashJobs, "soak": soakJobs}

func crashJobs(s settings) []job {
	seed := fmt.Sprint(s.seed)
	return []job{
		inVM("power-cuts", "test/crash", "PowerCuts", "-points", "0", "-rounds", "240", "-seed", seed),
		inVM("process-deaths", "test/crash", "Deaths", "-deaths", "0", "-seed", seed),
		inVM("process-faults", "test/crash", "ProcessFault", "-pairs", "90", "-seed", seed),
		inVM("disks", "test/crash", "Disks", "-windows", "96", "-seed", seed),
		inVM("negative-controls", "test/crash", "WouldBeNoticed", "-seed", seed).tagged("sabotage"),
		inVM("full", "test/crash", "Full", "-seed", seed),
		inVM("model-kernel", "test/metamorphic", "Kernel", "-lives", "40", "-seed", seed),
		inVM("damage", "snapshots", "Damaged|Lost|Hostile"),
		onHost("faults-driver", "snapshots", "Fault|Death|Forgotten", "-both-ways"),
		onHost("faults-catalog", "metadata", "Fault|Flipped"),
		onHost("model-fake", "test/metamorphic", "OnTheFake", "-seed", seed),
	}
}

func soakJobs(s settings) []job {
	return []job{
		inVM("day", "test/crash", "DayInTheLife", "-soak", s.soak.String(), "-seed", fmt.Sprint(s.seed)).within(s.soak + hang),
		inVM("clients", "snapshots/proxy", "ManyClients", "-soak", (s.soak * 2 / 3).String()).within(s.soak + hang),
	}
}

// matching are the jobs whose names match.
func matching(jobs []job, only *regexp.Regexp) []job {
	var chosen []job
	for _, j := range jobs {
		if only.MatchString(j.name) {
			chosen = append(chosen, j)
		}
	}
	return chosen
}

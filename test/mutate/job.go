package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// jobVariable names the file with the job, for the stand-in.
const jobVariable = "VENEER_MUTATE_JOB"

// job is what the stand-in for the go command has to know.
type job struct {
	Go      string   // the real go command
	Program string   // this program
	Import  string   // path of the package
	Files   []string // of the package, those that are mutated
	Package string   // folder of the package, without mutants
	Profile string   // file for the coverage profile
	Log     string   // file for the trials, one a line
	Scratch string   // folder for test programs and their temporary files
	Env     []string // of test programs: this program's own, not what gremlins makes of it

	CPU, Wall time.Duration // limits of a test program
	cpu, wall time.Duration // what it takes without a mutant
}

// save writes the job for the stand-in.
func (j *job) save(path string) error {
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func loadJob() (*job, error) {
	data, err := os.ReadFile(os.Getenv(jobVariable))
	if err != nil {
		return nil, err
	}
	j := new(job)
	return j, json.Unmarshal(data, j)
}

// measure runs the tests without a mutant, three times because a test that fails
// now and then would kill mutants by chance, and sets the limits by the slowest.
func (j *job) measure(ctx context.Context) error {
	program := filepath.Join(j.Scratch, "original.test")
	if out, err := j.build(ctx, j.Package, program); err != nil {
		return fmt.Errorf("build the tests without a mutant: %w\n%s", err, out)
	}
	j.CPU, j.Wall = time.Hour, time.Hour
	for range 3 {
		r, err := j.test(ctx, j.Package, program, 1)
		if err != nil {
			return err
		}
		if r.status != 0 {
			return fmt.Errorf("the tests fail without a mutant:\n%s", r.output)
		}
		j.cpu, j.wall = max(j.cpu, r.cpu), max(j.wall, r.wall)
	}
	j.cpu, j.wall = j.cpu.Round(time.Millisecond), j.wall.Round(time.Millisecond)
	j.CPU, j.Wall = 10*j.cpu+10*time.Second, 10*j.wall+time.Minute
	return os.Remove(program)
}

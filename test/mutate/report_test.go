package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const profile = `mode: set
example.com/m/p/a.go:10.20,12.3 2 1
example.com/m/p/a.go:12.8,14.5 1 0
example.com/m/p/b.go:1.1,99.1 1 1
`

// runOf writes what a run leaves: the log and the profile, and gremlins' own list.
func runOf(t *testing.T, verdicts map[int]string) (job, []found) {
	t.Helper()
	dir := t.TempDir()
	j := job{Log: filepath.Join(dir, "log"), Profile: filepath.Join(dir, "profile")}
	require.NoError(t, os.WriteFile(j.Profile, []byte(profile), 0o600))
	var mutants []found
	for line, verdict := range verdicts {
		m := mutation{"a.go", line, 9, "f", fmt.Sprint("a < ", line), fmt.Sprint("a <= ", line)}
		require.NoError(t, j.log(trial{Mutation: m, Verdict: verdict}))
		status := map[string]string{lived: "LIVED", killed: "KILLED", timedOut: "KILLED", notViable: "NOT VIABLE"}[verdict]
		mutants = append(mutants, found{"a.go", line, 9, status})
	}
	return j, mutants
}

func TestReport(t *testing.T) {
	j, mutants := runOf(t, map[int]string{1: killed, 2: killed, 3: killed, 4: timedOut, 5: notViable, 6: lived, 13: lived, 20: lived})
	entries, err := parseEquivalent("# comment\n\np/a.go\tf\ta < 20\ta <= 20\tboth are right\n")
	require.NoError(t, err)
	r, err := newReport("p", j, mutants, entries)
	require.NoError(t, err)
	var out strings.Builder
	require.ErrorContains(t, r.print(&out, 67), "2 of the mutants of p survived")
	assert.Equal(t, `
p: 8 mutants
     1 not viable: they do not compile
     3 killed by a test
     1 timed out, twice: counted as killed
     1 lived
     1 not covered: counted as lived
     1 equivalent to the original, as listed: not counted
efficacy: 66.67 % of 6, and at least 67 % are wanted
p/a.go:6:9: f lived
	- a < 6
	+ a <= 6
p/a.go:13:9: f not covered
	- a < 13
	+ a <= 13
`, out.String())
	require.NoError(t, r.print(&out, 66))
}

func TestAccountsThatDiffer(t *testing.T) {
	for name, change := range map[string]func([]found) []found{
		"one that was not tried":     func(f []found) []found { return append(f, found{"a.go", 9, 1, "KILLED"}) },
		"one that gremlins has not":  func(f []found) []found { return f[1:] },
		"another status":             func(f []found) []found { f[0].status = "TIMED OUT"; return f },
		"one not viable of no trial": func(f []found) []found { return append(f, found{"a.go", 9, 1, "NOT VIABLE"}) },
	} {
		t.Run(name, func(t *testing.T) {
			j, mutants := runOf(t, map[int]string{1: killed, 2: lived})
			_, err := newReport("p", j, change(mutants), nil)
			require.ErrorContains(t, err, "do not agree")
		})
	}
	// A mutant that is the original has no place in its trial.
	j, mutants := runOf(t, map[int]string{1: killed})
	require.NoError(t, j.log(trial{Verdict: notViable}))
	_, err := newReport("p", j, append(mutants, found{"a.go", 9, 1, "NOT VIABLE"}), nil)
	require.NoError(t, err)
	require.NoError(t, j.log(trial{Verdict: broken, Detail: "no disk"}))
	_, err = newReport("p", j, mutants, nil)
	require.ErrorContains(t, err, "no disk")
}

func TestEntriesAreVerified(t *testing.T) {
	trials := []trial{
		{Mutation: mutation{"a.go", 1, 1, "f", "a < b", "a <= b"}, Verdict: lived},
		{Mutation: mutation{"a.go", 9, 1, "f", "a < b", "a <= b"}, Verdict: lived},
		{Mutation: mutation{"a.go", 2, 1, "f", "a > b", "a >= b"}, Verdict: killed},
	}
	for line, want := range map[string]string{
		"p/a.go\tf\ta < b\ta <= b\twhy": "",
		"p/a.go\tf\ta > b\ta >= b\twhy": "does not survive",
		"p/a.go\tg\ta < b\ta <= b\twhy": "no such mutant",
		"p/b.go\tf\ta < b\ta <= b\twhy": "no such mutant",
		"q/a.go\tf\ta < b\ta <= b\twhy": "no such mutant",
	} {
		entries, err := parseEquivalent(line)
		require.NoError(t, err)
		err = verifyEntries("p", entries, trials)
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want, line)
		}
	}
	_, err := parseEquivalent("p/a.go\tf\ta < b\ta <= b\t")
	require.ErrorContains(t, err, "line 1")
}

// Whether an entry's mutant survives is known after a run only. That its line is in
// the function that it names is known at once.
func TestEntriesNameLinesThatExist(t *testing.T) {
	entries, err := readEquivalent("equivalent.txt")
	require.NoError(t, err)
	for _, e := range entries {
		source, err := os.ReadFile(filepath.Join("..", "..", e.file))
		require.NoError(t, err, "line %d", e.line)
		found := false
		for i, line := range strings.Split(string(source), "\n") {
			if strings.TrimSpace(line) == e.original {
				in, err := functionAt(source, i+1)
				require.NoError(t, err)
				found = found || in == e.function
			}
		}
		assert.True(t, found, "line %d: %s has no line %q in %q", e.line, e.file, e.original, e.function)
	}
}

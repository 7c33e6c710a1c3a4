package report_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/report"
	"github.com/veneerdm/veneer/bench/stats"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	require.NoError(t, report.Table(&out, made(1), report.TableOptions{}))
	for _, want := range []string{
		"What does the first write cost?", "bytes written to the disk", "120 KiB", "16.1 MiB",
		"From 1 MiB on, thin is the better one.", "rename <of> a directory, overlay: EXDEV",
		"setxattr, thin: went wrong: it broke", "not measured: fio is not installed", "zfs was not measured",
		"in a virtual machine (uml)", "the machine was busy",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), "\x1b", "no colours unless asked for")
}

func TestTableFindsTheWinner(t *testing.T) {
	rows := made(1).Rows("first-write", bench.Time)
	require.Len(t, rows, 4)
	assert.Contains(t, report.Verdict(rows[3]), "thin 17")
	assert.Contains(t, report.Verdict(rows[0]), "overlay")
	assert.Equal(t, stats.Different, rows[3].Verdict)
}

func TestVerdictSaysWhenItCannotTell(t *testing.T) {
	r := made(1)
	for i := range r.Cells {
		if m, ok := r.Cells[i].Metrics["time"]; ok {
			r.Cells[i].Metrics["time"] = bench.Summarise(m.Raw[:3])
		}
	}
	assert.Equal(t, "too few samples to tell", report.Verdict(r.Rows("first-write", bench.Time)[3]))
	for i, raw := range [][]float64{{1, 9, 2, 8, 3, 7}, {2, 8, 1, 9, 4, 6}} {
		r.Cells[i].Metrics["time"] = bench.Summarise(raw)
	}
	assert.Equal(t, "too noisy to tell", report.Verdict(r.Rows("first-write", bench.Time)[0]))
}

// A size that was measured too rarely does not keep the others from saying where the
// curves cross.
func TestCrossingWithTooFewSamples(t *testing.T) {
	r := made(1)
	says := func() string {
		var out strings.Builder
		require.NoError(t, report.Table(&out, r, report.TableOptions{}))
		return out.String()
	}
	few := func(name string) {
		for i, c := range r.Cells {
			if c.Scenario == "first-write" && c.Case == name {
				r.Cells[i].Metrics["time"] = bench.Summarise(c.Metrics["time"].Raw[:1])
			}
		}
	}
	few("16 MiB")
	assert.Contains(t, says(), "From 1 MiB on, thin is the better one; of 16 MiB there are too few samples.")
	for _, name := range []string{"4 KiB", "64 KiB", "1 MiB"} {
		few(name)
	}
	assert.Contains(t, says(), "There are too few samples to say where they cross.")
}

func TestCompare(t *testing.T) {
	old, now := made(1), made(100)
	for i := range now.Cells {
		if m, ok := now.Cells[i].Metrics["time"]; ok && now.Cells[i].Case == "1 MiB" {
			for j := range m.Raw {
				m.Raw[j] *= 1.5
			}
			now.Cells[i].Metrics["time"] = bench.Summarise(m.Raw)
		}
	}
	now.Environment.Kernel = "Linux 7.0"
	var out strings.Builder
	require.NoError(t, report.Compare(&out, old, now))
	worse := 0
	for line := range strings.Lines(out.String()) {
		if strings.HasSuffix(strings.TrimSpace(line), "worse") {
			worse++
			assert.Contains(t, line, "1 MiB")
		}
	}
	assert.Equal(t, 2, worse, out.String())
	assert.Contains(t, out.String(), `the kernels differ: "Linux 6.1.0" and "Linux 7.0"`)
	assert.Contains(t, out.String(), "2 different")
}

func TestCompareOfNothingCommon(t *testing.T) {
	assert.ErrorIs(t, report.Compare(&bytes.Buffer{}, made(1), &bench.Result{}), report.ErrNothingCommon)
}

// The page has every question, every table, and no address but those inside it.
func TestPageRefersToNothingOutside(t *testing.T) {
	var out strings.Builder
	require.NoError(t, report.Page(&out, made(1)))
	page := out.String()
	for _, bad := range []string{"http:", "https:", "src=", "@import", "url(", "<script"} {
		assert.NotContains(t, page, bad)
	}
	for _, want := range []string{
		"prefers-color-scheme: dark", "@media print", "width=device-width", `lang="en"`, "Two &lt;b&gt;&amp;&lt;/b&gt;.",
		"rename &lt;of&gt; a directory", "cowbench run --quick", "Measured in a virtual machine (uml)",
	} {
		assert.Contains(t, page, want)
	}
	assert.Equal(t, strings.Count(page, "<figure>"), strings.Count(page, "<desc"), "each plot has words for those who do not see it")
}

// The results in the documentation are read by this version, and those of a folder make
// one page.
func TestPublishedResults(t *testing.T) {
	for _, pattern := range []string{"cowbench/*.json", "*.json"} {
		files, err := filepath.Glob("../../docs/results/" + pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		var parts []*bench.Result
		for _, file := range files {
			f, err := os.Open(file)
			require.NoError(t, err)
			r, err := bench.ReadResult(f)
			require.NoError(t, errors.Join(err, f.Close()), file)
			parts = append(parts, r)
		}
		r, err := bench.Join(parts...)
		require.NoError(t, err)
		assert.Empty(t, r.Failed())
		require.NoError(t, report.Page(io.Discard, r))
	}
}

func TestPageOfANothing(t *testing.T) {
	var out strings.Builder
	require.NoError(t, report.Page(&out, &bench.Result{Schema: bench.Schema}))
	assert.Contains(t, out.String(), "</html>")
}

package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/report"
	"github.com/veneerdm/veneer/test/waittest"
)

// pictures is where screenshots are kept, for people to look at. It is not committed.
const pictures = "../../out/report"

// view is a way to look at the page.
type view struct {
	name          string
	width, height int
	flags         []string
}

var views = []view{
	{"desktop", 1280, 3600, nil},
	{"dark", 1280, 3600, []string{"--blink-settings=preferredColorScheme=0"}},
	{"phone", 500, 5200, nil}, // headless Chromium has no narrower window
}

// chromium runs the browser on a page and gives what it wrote on its two streams.
func chromium(t *testing.T, page string, flags ...string) (stdout, stderr string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "the page is looked at in Chromium: make setup installs it")
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--enable-logging=stderr",
		"--user-data-dir=" + t.TempDir(),
	}, flags...)
	cmd := exec.Command(path, append(args, "file://"+page)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(t, cmd.Start())
	err = waittest.Ends(cmd.Wait)
	if errors.Is(err, waittest.ErrHang) {
		require.NoError(t, cmd.Process.Kill())
		require.Fail(t, "Chromium did not end")
	}
	require.NoError(t, err, log.String())
	return out.String(), log.String()
}

func writePage(t *testing.T, r *bench.Result) string {
	t.Helper()
	page := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(page)
	require.NoError(t, err)
	require.NoError(t, report.Page(f, r))
	require.NoError(t, f.Close())
	return page
}

func TestPageInABrowser(t *testing.T) {
	r := made(1)
	page := writePage(t, r)
	netlog := filepath.Join(t.TempDir(), "net.json")
	dom, log := chromium(t, page, "--log-net-log="+netlog, "--dump-dom")

	for line := range strings.Lines(log) {
		assert.NotContains(t, line, "CONSOLE", "the page says something on the console")
	}
	assert.Empty(t, requests(t, netlog), "the page asks for something outside itself")
	var points []string
	for name := range plots(t, dom) {
		points = append(points, name)
	}
	assert.ElementsMatch(t, wanted(r), points, "the plots have a point for each number, and no other")
}

// wanted names the cells that plots must show: all that have numbers, but for metrics
// that are zero everywhere and have no place on a logarithmic axis.
func wanted(r *bench.Result) (all []string) {
	for _, c := range r.Cells {
		for _, m := range bench.Metrics {
			if _, ok := c.Metrics[m.Name]; ok && m != bench.Stored {
				all = append(all, fmt.Sprintf("%s %s, %s", m.Name, c.Backend, c.Case))
			}
		}
	}
	return all
}

// plots reads the points out of the page as the browser has it: metric, backend, case,
// and every plot's words for those who do not see it.
func plots(t *testing.T, dom string) map[string]bool {
	t.Helper()
	tree, err := html.Parse(strings.NewReader(dom))
	require.NoError(t, err)
	points := map[string]bool{}
	var visit func(n *html.Node, figure string)
	visit = func(n *html.Node, figure string) {
		if id := attribute(n, "data-figure"); id != "" {
			figure = id
			assert.Equal(t, "img", attribute(n, "role"), figure)
			assert.NotEmpty(t, textOf(dom, attribute(n, "aria-describedby")), figure)
			assert.Contains(t, dom, `id="`+attribute(n, "aria-labelledby")+`"`, figure)
		}
		if label := attribute(n, "data-label"); label != "" {
			what, number, _ := strings.Cut(label, ": ")
			assert.NotEmpty(t, number, label)
			metric := ""
			for _, m := range bench.Metrics {
				if strings.Contains(figure+"-", "-"+m.Name+"-") {
					metric = m.Name
				}
			}
			points[metric+" "+what] = true
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			visit(c, figure)
		}
	}
	visit(tree, "")
	return points
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(dom, id string) string {
	_, rest, _ := strings.Cut(dom, `id="`+id+`">`)
	text, _, _ := strings.Cut(rest, "<")
	return strings.TrimSpace(text)
}

// requests are the addresses that a page asked for, by the browser's network log. The
// browser's own requests have no origin for their initiator.
func requests(t *testing.T, netlog string) (urls []string) {
	t.Helper()
	data, err := os.ReadFile(netlog)
	require.NoError(t, err)
	var log struct {
		Events []struct {
			Params struct {
				URL       string `json:"url"`
				Initiator string `json:"initiator"`
			} `json:"params"`
		} `json:"events"`
	}
	require.NoError(t, json.Unmarshal(data, &log))
	require.NotEmpty(t, log.Events)
	for _, e := range log.Events {
		if e.Params.URL != "" && e.Params.Initiator != "" && e.Params.Initiator != "not an origin" {
			urls = append(urls, e.Params.URL)
		}
	}
	return urls
}

// A page that does what ours must not is found out.
func TestBrowserSeesRequests(t *testing.T) {
	page := filepath.Join(t.TempDir(), "bad.html")
	require.NoError(t, os.WriteFile(page, []byte(`<img src="http://127.0.0.1:9/x.png"><script>console.error("oh")</script>`), 0o644))
	netlog := filepath.Join(t.TempDir(), "net.json")
	_, log := chromium(t, page, "--log-net-log="+netlog, "--dump-dom")
	assert.Contains(t, log, "CONSOLE")
	assert.Contains(t, requests(t, netlog), "http://127.0.0.1:9/x.png")
}

func TestPageLooks(t *testing.T) {
	require.NoError(t, os.MkdirAll(pictures, 0o755))
	page := writePage(t, made(1))
	for _, v := range views {
		picture, err := filepath.Abs(filepath.Join(pictures, v.name+".png"))
		require.NoError(t, err)
		chromium(t, page, append(v.flags, fmt.Sprintf("--window-size=%d,%d", v.width, v.height), "--screenshot="+picture)...)
		st, err := os.Stat(picture)
		require.NoError(t, err)
		assert.Greater(t, st.Size(), int64(20<<10), "%s is a picture of something", picture)
	}
	pdf, err := filepath.Abs(filepath.Join(pictures, "print.pdf"))
	require.NoError(t, err)
	chromium(t, page, "--print-to-pdf="+pdf)
	st, err := os.Stat(pdf)
	require.NoError(t, err)
	assert.Greater(t, st.Size(), int64(10<<10))
}

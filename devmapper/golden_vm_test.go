package devmapper

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

var rewrite = flag.String("rewrite", "", "folder to write the bytes recorded from this kernel to")

const goldenFile = "testdata/kernel-6.1.golden"

// recorder keeps every exchange with a kernel, in words and in bytes.
type recorder struct {
	Transport
	mu  sync.Mutex
	log []string
}

func (r *recorder) Control(command uint8, buf []byte) error {
	request := dump(buf)
	err := r.Transport.Control(command, buf)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf("operation %s\nrequest\n%sreply\n%smeans\n%s", uapi.Command(command), request, dump(buf), meaning(uapi.Command(command), buf, err)))
	return err
}

// dump prints bytes by rows of 16 and leaves out rows of zeros.
func dump(b []byte) string {
	var s strings.Builder
	for at := 0; at < len(b); at += 16 {
		row := b[at:min(at+16, len(b))]
		if len(bytes.Trim(row, "\x00")) > 0 {
			fmt.Fprintf(&s, "  %04x %s\n", at, hex.EncodeToString(row))
		}
	}
	return s.String() + fmt.Sprintf("  %04x end\n", len(b))
}

func undump(t *testing.T, rows []string) []byte {
	t.Helper()
	var b []byte
	for _, row := range rows {
		var at int
		var text string
		_, err := fmt.Sscanf(row, "  %x %s", &at, &text)
		require.NoError(t, err, row)
		b = append(b, make([]byte, at-len(b))...)
		if text != "end" {
			part, err := hex.DecodeString(text)
			require.NoError(t, err)
			b = append(b, part...)
		}
	}
	return b
}

// meaning is what this package reads from a reply.
func meaning(cmd uapi.Command, buf []byte, err error) string {
	h, headErr := uapi.ParseHeader(buf)
	if headErr != nil {
		return "  " + headErr.Error() + "\n"
	}
	s := fmt.Sprintf("  %+v\n", h)
	if err != nil {
		return s + fmt.Sprintf("  error %v\n", err)
	}
	data := h.Payload(buf)
	var v any
	switch cmd {
	case uapi.ListDevices:
		v, err = uapi.ParseNames(data, true)
	case uapi.GetTargetVersion:
		v, err = uapi.ParseVersions(data)
	case uapi.TableDeps:
		v, err = uapi.ParseDeps(data)
	case uapi.TableStatus:
		v, err = uapi.ParseStatus(data, h.TargetCount)
	default:
		return s
	}
	return s + fmt.Sprintf("  %+v %v\n", v, err)
}

// scenario uses every kind of exchange once.
func scenario(t *testing.T, c *Client) {
	t.Helper()
	_, err := c.Version()
	require.NoError(t, err)
	_, err = c.TargetVersion("zero")
	require.NoError(t, err)
	n, err := NewName("veneer-golden")
	require.NoError(t, err)
	u, err := NewUUID("VENEER-golden-1")
	require.NoError(t, err)
	ref := ByUUID(u)
	_, err = c.Create(n, u)
	require.NoError(t, err)
	_, err = c.Create(n, u)
	require.ErrorIs(t, err, ErrExist)
	require.NoError(t, c.Load(ref, Table{{0, 8, Zero{}}, {8, 16, Fault{}}}, ReadOnly))
	_, err = c.InactiveTable(ref)
	require.NoError(t, err)
	require.NoError(t, c.Resume(ref))
	_, err = c.Table(ref)
	require.NoError(t, err)
	_, err = c.Status(ref)
	require.NoError(t, err)
	_, err = c.Deps(ref)
	require.NoError(t, err)
	require.NoError(t, c.Suspend(ref, NoFlush|SkipLockFS))
	_, err = c.Info(ref)
	require.NoError(t, err)
	require.NoError(t, c.Resume(ref))
	_, err = c.List("veneer-golden")
	require.NoError(t, err)
	_, err = c.Message(ByName(n), 0, "nonsense")
	require.Error(t, err)
	require.NoError(t, c.Load(ref, Single(8, Zero{}), ReadWrite))
	require.NoError(t, c.Clear(ref))
	require.NoError(t, c.Remove(ByName(n)))
	_, err = c.Info(ByName(n))
	require.ErrorIs(t, err, ErrNotExist)
}

// The bytes that Linux 6.1 answered still mean what they meant.
func TestRecordedRepliesMeanTheSame(t *testing.T) {
	text, err := os.ReadFile(goldenFile)
	require.NoError(t, err)
	exchanges := strings.Split(string(text), "operation ")[1:]
	require.Greater(t, len(exchanges), 15)
	names := map[string]uapi.Command{}
	for c := range uapi.GetTargetVersion + 1 {
		names[c.String()] = c
	}
	for _, e := range exchanges {
		op, rest, _ := strings.Cut(e, "\nrequest\n")
		_, rest, _ = strings.Cut(rest, "reply\n")
		reply, means, _ := strings.Cut(rest, "means\n")
		buf := undump(t, strings.Split(strings.TrimRight(reply, "\n"), "\n"))
		got := meaning(names[op], buf, nil)
		if head, failure, failed := strings.Cut(means, "  error "); failed {
			assert.Equal(t, head, got[:len(head)], op)
			assert.NotEmpty(t, failure)
			continue
		}
		assert.Equal(t, strings.TrimSpace(means), strings.TrimSpace(got), op)
	}
}

// A kernel is asked with the very bytes that were recorded.
func TestRequestsOfTheKernelAreTheRecordedOnes(t *testing.T) {
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	control, err := openControl()
	require.NoError(t, err)
	r := &recorder{Transport: control}
	c := New(r)
	scenario(t, c)
	require.NoError(t, c.Close())
	if *rewrite != "" {
		path := filepath.Join(*rewrite, filepath.Base(goldenFile))
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(r.log, "\n")), 0o644))
		return
	}
	text, err := os.ReadFile(goldenFile)
	require.NoError(t, err)
	recorded := strings.Split(string(text), "operation ")[1:]
	require.Len(t, recorded, len(r.log))
	for i, now := range r.log {
		want, _, _ := strings.Cut(recorded[i], "reply\n")
		got, _, _ := strings.Cut(strings.TrimPrefix(now, "operation "), "reply\n")
		assert.Equal(t, want, got)
	}
}

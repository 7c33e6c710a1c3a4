package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// across gives an error that has been sent and received.
func across(t *testing.T, err error) error {
	t.Helper()
	raw, bad := proto.Marshal(status.Convert(ToStatus(err)).Proto())
	require.NoError(t, bad)
	s := status.New(codes.OK, "").Proto()
	require.NoError(t, proto.Unmarshal(raw, s))
	ours, got := FromStatus(status.FromProto(s).Err())
	require.True(t, ours)
	return got
}

func TestEveryClassCrosses(t *testing.T) {
	for _, c := range class.Table() {
		err := fmt.Errorf("do something to %q: %w", "it", c)
		got := across(t, err)
		require.ErrorIs(t, got, c)
		assert.Same(t, class.Of(err), class.Of(got))
		assert.Equal(t, err.Error(), got.Error())
		assert.Equal(t, c.Code(), status.Code(ToStatus(err)), "%s", c.Word())
		for _, other := range class.Table() {
			assert.Equal(t, errors.Is(err, other), errors.Is(got, other), "%s as %s", c.Word(), other.Word())
		}
	}
}

func TestSeveralClassesCross(t *testing.T) {
	all := make([]error, 0, len(class.Table()))
	for _, c := range class.Table() {
		all = append(all, c)
	}
	for range 100 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		some := errors.Join(all[:1+rand.IntN(len(all))]...)
		got := across(t, some)
		assert.Equal(t, class.All(some), class.All(got))
	}
}

func TestErrorsOfOthersCrossByTheirClass(t *testing.T) {
	for err, want := range map[error]error{
		fmt.Errorf("write: %w", syscall.ENOSPC): class.NoSpace,
		context.Canceled:                        context.Canceled,
		context.DeadlineExceeded:                context.DeadlineExceeded,
		&metadata.LockedError{Path: "x"}:        metadata.ErrLocked,
		&thinpool.ForeignError{Path: "x"}:       thinpool.ErrForeign,
	} {
		assert.ErrorIs(t, across(t, err), want)
	}
	assert.Empty(t, class.All(across(t, errors.New("of no class"))))
	assert.NoError(t, ToStatus(nil))
}

func TestOperationsCross(t *testing.T) {
	op := &snapshots.OpError{Op: "prepare", Key: "a", Err: fmt.Errorf("%w: it is there", class.Exists)}
	for _, err := range []error{op, fmt.Errorf("import x: %w", op), errors.Join(errors.New("else"), op)} {
		got := across(t, err)
		assert.Equal(t, err.Error(), got.Error())
		require.ErrorIs(t, got, class.Exists)
		var have *snapshots.OpError
		require.ErrorAs(t, got, &have)
		assert.Equal(t, "prepare", have.Op)
		assert.Equal(t, "a", have.Key)
		assert.Equal(t, op.Error(), have.Error())
		assert.ErrorIs(t, have, class.Exists)
	}
	assert.IsType(t, op, across(t, op), "what adds nothing is not there")
}

// What a status cannot hold is cut, and never an error that nobody understands.
func TestLongAndOddTexts(t *testing.T) {
	long := fmt.Errorf("%w: %s", class.Invalid, strings.Repeat("é", maxText))
	got := across(t, long)
	require.ErrorIs(t, got, class.Invalid)
	assert.LessOrEqual(t, len(got.Error()), maxText)
	assert.True(t, strings.HasSuffix(got.Error(), "é …"))
	assert.LessOrEqual(t, len(status.Convert(ToStatus(long)).Message()), maxSummary)

	odd := across(t, &snapshots.OpError{Op: "stat", Key: "\xff", Err: fmt.Errorf("%w: \xff", class.NotFound)})
	require.ErrorIs(t, odd, class.NotFound)
}

func TestOtherErrorsAreNotTheDaemons(t *testing.T) {
	for _, err := range []error{errors.New("plain"), status.Error(codes.Unavailable, "gone")} {
		ours, got := FromStatus(err)
		assert.False(t, ours)
		assert.Equal(t, err, got)
	}
	s, err := status.New(codes.Unknown, "x").WithDetails(&api.ErrorDetail{Text: "x", Classes: []string{"of a later version", "in use"}})
	require.NoError(t, err)
	ours, got := FromStatus(s.Err())
	assert.True(t, ours)
	assert.ErrorIs(t, got, class.InUse)
}

// fill sets every exported field of a value, so that one that a message lacks shows.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(int64(*n))
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint8:
		v.SetUint(uint64(*n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if _, ok := reflect.TypeAssert[time.Time](v); ok {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, *n, time.UTC)))
			return
		}
		for _, field := range v.Fields() {
			fill(field, n)
		}
	case reflect.Interface:
	default:
		panic("no value for " + v.Type().String())
	}
}

func crosses[T any, M proto.Message](t *testing.T, from func(T) M, to func(M) T, set ...func(*T)) {
	t.Helper()
	for _, filled := range []bool{true, false} {
		var want T
		if filled {
			n := 0
			fill(reflect.ValueOf(&want).Elem(), &n)
			for _, s := range set {
				s(&want)
			}
		}
		raw, err := proto.Marshal(from(want))
		require.NoError(t, err)
		m := from(want)
		proto.Reset(m)
		require.NoError(t, proto.Unmarshal(raw, m))
		assert.Equal(t, want, to(m), "%T", want)
	}
}

// A field that is added to a value and not to its message is lost on the way.
func TestEveryFieldCrosses(t *testing.T) {
	crosses(t, FromInfo, ToInfo)
	crosses(t, FromMount, ToMount)
	crosses(t, FromUsage, ToUsage)
	crosses(t, FromRecord, ToRecord)
	crosses(t, FromSuperblock, ToSuperblock)
	crosses(t, FromPool, ToPool, func(p *snapshots.PoolInfo) {
		var w thinpool.Working
		n := 100
		fill(reflect.ValueOf(&w).Elem(), &n)
		p.Status = w
	})
	crosses(t, FromPool, ToPool, func(p *snapshots.PoolInfo) { p.Status = thinpool.Failed{Word: "Fail"} })
}

func TestListsAreSentInMessages(t *testing.T) {
	var sent [][]string
	c := Chunks[string]{Size: Text, Send: func(s []string) error { sent = append(sent, s); return nil }}
	require.NoError(t, c.Flush())
	assert.Empty(t, sent, "a message of nothing is none")
	const each = ChunkSize/4 - 8
	for i := range 9 {
		require.NoError(t, c.Add(strings.Repeat(fmt.Sprint(i), each)))
	}
	require.NoError(t, c.Flush())
	require.Len(t, sent, 3)
	assert.Len(t, sent[0], 4)
	assert.Len(t, sent[2], 1)
	assert.Equal(t, byte('8'), sent[2][0][0])

	broken := errors.New("gone")
	c.Send = func([]string) error { return broken }
	require.NoError(t, c.Add("small"))
	assert.ErrorIs(t, c.Flush(), broken)
}

func TestBytesAreSentInMessages(t *testing.T) {
	var sizes []int
	w := Writer(func(p []byte) error { sizes = append(sizes, len(p)); return nil })
	n, err := w.Write(make([]byte, 2*ChunkSize+1))
	require.NoError(t, err)
	assert.Equal(t, 2*ChunkSize+1, n)
	assert.Equal(t, []int{ChunkSize, ChunkSize, 1}, sizes)
}

func TestWhatDoesNotFitIsSaidBeforeItIsSent(t *testing.T) {
	require.NoError(t, Fits(&api.StatRequest{Key: "a"}))
	err := Fits(&api.Record{Data: make([]byte, MaxMessage)})
	require.ErrorIs(t, err, class.Invalid)
	assert.ErrorContains(t, err, "16777216")
	assert.ErrorIs(t, Fits(&api.StatRequest{Key: "\xff"}), class.Invalid)
	assert.Equal(t, dmthin.ThinID(1), ToInfo(&api.Snapshot{ThinId: 1}).ThinID)
}

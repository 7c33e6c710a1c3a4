package wire

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/veneerdm/veneer/class"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/snapshots"
)

const (
	// maxText is how many bytes of an error's text cross a connection. A status comes in
	// HTTP headers, which are bounded too.
	maxText = 32 << 10
	// maxSummary is how many of them those get who look at the status alone.
	maxSummary = 1 << 10
)

// ToStatus makes a gRPC status of an error: its code is that of the error's first class,
// and its detail has all classes, the whole text, and the operation that failed.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	code := codes.Unknown
	if c := class.Of(err); c != nil {
		code = c.Code()
	}
	summary, _ := cut(err.Error(), maxSummary)
	s, bad := status.New(code, summary).WithDetails(ToDetail(err))
	if bad != nil {
		return status.Error(code, summary) // a status without details is better than none
	}
	return s.Err()
}

// ToDetail makes a message of an error; nil stays nil.
func ToDetail(err error) *api.ErrorDetail {
	if err == nil {
		return nil
	}
	detail := &api.ErrorDetail{}
	detail.Text, detail.TextCut = cut(err.Error(), maxText)
	for _, c := range class.All(err) {
		detail.Classes = append(detail.Classes, c.Word())
	}
	if op, ok := errors.AsType[*snapshots.OpError](err); ok {
		o := &api.ErrorDetail_Operation{Op: op.Op}
		o.Key, _ = cut(op.Key, maxText)
		if op.Err != nil {
			o.Text, _ = cut(op.Err.Error(), maxText)
		}
		detail.Operation = o
	}
	return detail
}

// FromStatus is the opposite of ToStatus: errors.Is finds every class that the error had
// in the daemon, and errors.As its snapshots.OpError. It says false for an error that is
// no answer of the daemon's, such as a lost connection.
func FromStatus(err error) (ours bool, _ error) {
	s, ok := status.FromError(err)
	if !ok {
		return false, err
	}
	for _, d := range s.Details() {
		if detail, ok := d.(*api.ErrorDetail); ok {
			return true, FromDetail(detail)
		}
	}
	return false, err
}

// FromDetail is the opposite of ToDetail.
func FromDetail(d *api.ErrorDetail) error {
	if d == nil {
		return nil
	}
	var is []error
	for _, word := range d.GetClasses() {
		c := class.ByWord(word)
		if c == nil {
			continue // the daemon is newer, and knows more of them
		}
		is = append(is, c)
		switch c {
		case class.Canceled:
			is = append(is, context.Canceled)
		case class.Deadline:
			is = append(is, context.DeadlineExceeded)
		}
	}
	if o := d.GetOperation(); o != nil {
		op := &snapshots.OpError{Op: o.GetOp(), Key: o.GetKey(), Err: &remoteError{o.GetText(), is}}
		if op.Error() == d.GetText() {
			return op
		}
		is = append([]error{op}, is...)
	}
	return &remoteError{d.GetText(), is}
}

// remoteError is an error of the daemon's.
type remoteError struct {
	text string
	is   []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.is }

// cut makes a text valid for a message, and at most so many bytes long.
func cut(text string, most int) (string, bool) {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= most {
		return text, false
	}
	const mark = " …"
	end := most - len(mark)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark, true
}

package class_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
)

func TestWordsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range class.Table() {
		assert.NotEmpty(t, c.Word())
		assert.False(t, seen[c.Word()], "%q stands for two classes", c.Word())
		seen[c.Word()] = true
		assert.Same(t, c, class.ByWord(c.Word()))
		assert.Same(t, c, class.Of(fmt.Errorf("wrapped: %w", c)))
		assert.NotEqual(t, codes.OK, c.Code(), c.Word())
		assert.Positive(t, c.Exit(), c.Word())
	}
	assert.Nil(t, class.ByWord("no such word"))
}

func TestTheFirstRowThatFitsCounts(t *testing.T) {
	both := errors.Join(class.NotFound, class.NoSpace)
	assert.Same(t, class.NoSpace, class.Of(both))
	assert.Same(t, class.NoSpace, class.Of(errors.Join(class.NoSpace, class.NotFound)))
}

func TestAllClassesOfAnError(t *testing.T) {
	err := errors.Join(class.NotFound, fmt.Errorf("write: %w", syscall.ENOSPC), context.Canceled)
	assert.Equal(t, []*class.Class{class.Canceled, class.NoSpace, class.NotFound}, class.All(err))
	assert.Empty(t, class.All(errors.New("else")))
	assert.Empty(t, class.All(nil))
}

func TestErrorsOfOtherPackages(t *testing.T) {
	for err, want := range map[error]*class.Class{
		syscall.ENOSPC:           class.NoSpace,
		devmapper.ErrReadOnly:    class.PoolState,
		context.Canceled:         class.Canceled,
		context.DeadlineExceeded: class.Deadline,
		syscall.EEXIST:           class.FileExists,
		errors.New("else"):       nil,
		nil:                      nil,
	} {
		assert.Same(t, want, class.Of(err), "%v", err)
	}
}

func TestWrapKeepsTheText(t *testing.T) {
	err := class.Ensure(fmt.Errorf("write: %w", syscall.ENOSPC))
	assert.ErrorIs(t, err, class.NoSpace)
	assert.ErrorIs(t, err, syscall.ENOSPC)
	assert.Equal(t, "write: no space left on device", err.Error())
	assert.Equal(t, err, class.Wrap(err, class.NoSpace), "what is of the class stays as it is")
	assert.NoError(t, class.Ensure(nil))
	plain := errors.New("plain")
	assert.Equal(t, plain, class.Ensure(plain))
}

package bytesize

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// ErrInvalid is the class of a text that is not a size.
var ErrInvalid = errors.New("not a size")

// ErrRange is the class of a size that no file can have.
var ErrRange = errors.New("too large: sizes are below 8EiB")

// Format prints n bytes, not negative, with four significant digits and a binary unit, as 1.207GiB.
func Format[N ~int | ~int64 | ~uint64](n N) string { return units.BytesSize(float64(n)) }

// prefixes are the units, each 1024 times the one before.
const prefixes = "kmgtpe"

var syntax = regexp.MustCompile(`^([0-9]*)(?:\.([0-9]*))? ?(?:([kKmMgGtTpPeE])(?:[iI]?[bB])?|[bB])?$`)

// maxDigits bounds the work that a text can cause. More digits than this are never
// needed: 2^63 has 19, and 60 bits of fraction have 60.
const maxDigits = 80

// Parse reads a size in bytes. Errors are ErrInvalid or ErrRange, with the text in the
// message.
func Parse(text string) (uint64, error) {
	parts := syntax.FindStringSubmatch(text)
	if parts == nil || parts[1]+parts[2] == "" || len(text) > maxDigits {
		return 0, fmt.Errorf("%q is %w such as 64KiB, 10G or 1048576", text, ErrInvalid)
	}
	digits := parts[1] + parts[2]
	value, _ := new(big.Int).SetString(digits, 10) // digits alone: it is a number
	if parts[3] != "" {
		value.Lsh(value, uint(10*(1+strings.Index(prefixes, strings.ToLower(parts[3])))))
	}
	value.Quo(value, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(parts[2]))), nil))
	if !value.IsInt64() {
		return 0, fmt.Errorf("%q is %w", text, ErrRange)
	}
	return value.Uint64(), nil
}

// Size is a number of bytes as a flag (its methods are those of pflag.Value) and as a
// text in a configuration file.
type Size uint64

// Set reads a size, as Parse does.
func (s *Size) Set(text string) error {
	n, err := Parse(text)
	if err == nil {
		*s = Size(n)
	}
	return err
}

// String prints the exact value, with the largest unit that divides it: 64KiB, 1025.
func (s Size) String() string {
	for i := len(prefixes); i > 0 && s > 0; i-- {
		if s%(1<<(10*i)) == 0 {
			return fmt.Sprintf("%d%ciB", s>>(10*i), prefixes[i-1]&^0x20)
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// Type is what a command's help calls it.
func (*Size) Type() string { return "size" }

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a size, as Parse does.
func (s *Size) UnmarshalText(text []byte) error { return s.Set(string(text)) }

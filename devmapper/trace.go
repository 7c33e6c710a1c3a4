package devmapper

import (
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

var tracing = os.Getenv("DMDEBUG") == "1"

func trace(cmd uapi.Command, device, detail string, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = err.Error()
	}
	fmt.Fprintf(os.Stderr, "devmapper: %-16s %-40s %s %s [%s]\n", cmd, device, detail, result, took.Round(time.Microsecond))
}

func lines(s string) iter.Seq[string] { return strings.Lines(s) }

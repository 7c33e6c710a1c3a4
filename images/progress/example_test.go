package progress_test

import (
	"os"

	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/images/progress"
)

func Example() {
	p := progress.New(os.Stdout, progress.Plain)
	defer p.Close()
	// Import calls p.Event when it is given as ImportOptions.Progress.
	p.Event(images.Event{
		Image: "docker.io/library/nginx:1.27", Layers: 4, Digest: digest.FromString("layer"),
		Phase: images.PhaseApplying, Total: 42_400_000,
	})
	// Output: nginx:1.27: layer 1/4 dac1d7cfa950 applying (40.44MiB)
}

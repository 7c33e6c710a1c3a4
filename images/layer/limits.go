package layer

// Limits bound what one layer may do. A zero field takes its default; a negative
// one means no limit.
type Limits struct {
	// Bytes is the sum of the sizes of all files, holes included. Default 1 TiB.
	// What really fits is up to the filesystem.
	Bytes int64
	// Entries is the number of tar entries. Default 10 million.
	Entries int64
	// Depth is the number of directories on the way to an entry, symbolic links
	// resolved. Default 255.
	Depth int
	// PathBytes is the length of an entry's name and of a link's target. Default 4096,
	// the kernel's PATH_MAX.
	PathBytes int
	// XattrBytes is the sum of names and values of one entry's extended attributes.
	// Default 1 MiB.
	XattrBytes int
	// Ratio is how many bytes one compressed byte may become, once a layer has
	// unpacked to RatioFloor bytes. Default 500, from 8 GiB on.
	Ratio      int64
	RatioFloor int64
	// NoDevices refuses character and block devices.
	NoDevices bool
}

// withDefaults replaces zero by the default and negative by the largest number.
func (l Limits) withDefaults() Limits {
	fill(&l.Bytes, 1<<40)
	fill(&l.Entries, 10_000_000)
	fill(&l.Depth, 255)
	fill(&l.PathBytes, 4096)
	fill(&l.XattrBytes, 1<<20)
	fill(&l.Ratio, 500)
	fill(&l.RatioFloor, 8<<30)
	return l
}

func fill[T int | int64](field *T, value T) {
	const most = 1<<62 - 1
	switch {
	case *field == 0:
		*field = value
	case *field < 0:
		*field = most
	}
}

package bench

// A Metric is a quantity that a case measures.
type Metric struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Unit   string `json:"unit"`   // s, B, op/s, B/s or "" for parts
	Higher bool   `json:"higher"` // more is better
}

// The metrics. What is written is counted below the backend until all is on the disk;
// what is stored is the change in allocated space.
var (
	Time       = Metric{Name: "time", Title: "time", Unit: "s"}
	Setup      = Metric{Name: "setup", Title: "time to create and start the container", Unit: "s"}
	Written    = Metric{Name: "written", Title: "bytes written to the disk", Unit: "B"}
	Read       = Metric{Name: "read", Title: "bytes read from the disk", Unit: "B"}
	Stored     = Metric{Name: "stored", Title: "space allocated", Unit: "B"}
	Memory     = Metric{Name: "memory", Title: "page cache taken", Unit: "B"}
	Returned   = Metric{Name: "returned", Title: "part of the space that comes back", Unit: "", Higher: true}
	Accepted   = Metric{Name: "accepted", Title: "bytes accepted before the error", Unit: "B", Higher: true}
	Rate       = Metric{Name: "rate", Title: "operations per second", Unit: "op/s", Higher: true}
	Throughput = Metric{Name: "throughput", Title: "bytes per second", Unit: "B/s", Higher: true}
	Percentile = Metric{Name: "p99", Title: "99th percentile of the latency", Unit: "s"}
)

// Metrics are all of them, in the order in which they are shown.
var Metrics = []Metric{Time, Rate, Throughput, Percentile, Written, Read, Stored, Returned, Accepted, Memory, Setup}

// MetricOf finds a metric by its name.
func MetricOf(name string) (Metric, bool) {
	for _, m := range Metrics {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{}, false
}

package proxy

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/status"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// Metrics is what a server tells Prometheus: how long calls take and how they end,
// and the pool's space and state when it is asked.
type Metrics struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

// NewMetrics makes the metrics of a driver.
func NewMetrics(d *snapshots.Driver) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "veneer_operation_seconds", Help: "How long operations took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}, []string{"operation"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "veneer_operation_failures_total", Help: "Operations that ended with an error, by its gRPC code.",
		}, []string{"operation", "code"}),
	}
	m.registry.MustRegister(m.seconds, m.failures, poolCollector{d}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts one call.
func (m *Metrics) Observe(operation string, took time.Duration, err error) {
	m.seconds.WithLabelValues(operation).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(operation, status.Code(err).String()).Inc()
	}
}

// Handler answers with all metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// poolCollector asks the driver when it is itself asked.
type poolCollector struct{ d *snapshots.Driver }

var (
	descData      = prometheus.NewDesc("veneer_pool_data_bytes", "Data space of the pool.", []string{"kind"}, nil)
	descMeta      = prometheus.NewDesc("veneer_pool_metadata_bytes", "Metadata space of the pool.", []string{"kind"}, nil)
	descWritable  = prometheus.NewDesc("veneer_pool_writable", "1 when the pool takes writes and changes.", nil, nil)
	descSnapshots = prometheus.NewDesc("veneer_snapshots", "Snapshots by kind.", []string{"kind"}, nil)
	descTrash     = prometheus.NewDesc("veneer_trash", "Removed snapshots whose space is yet to come back.", nil, nil)
	descLost      = prometheus.NewDesc("veneer_lost_snapshots", "Snapshots whose thin devices the pool has lost.", nil, nil)
	descUnknown   = prometheus.NewDesc("veneer_unknown_devices", "Thin devices that no record leads to.", nil, nil)
	descClock     = prometheus.NewDesc("veneer_pool_snapshots_made_total", "Snapshots ever made in the pool, of 2^24 that are possible.", nil, nil)
)

func (poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descData, descMeta, descWritable, descSnapshots, descTrash, descLost, descUnknown, descClock} {
		ch <- d
	}
}

func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, err := c.d.Pool(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descWritable, err)
		return
	}
	writable := 0.0
	if w, ok := p.Status.(thinpool.Working); ok {
		gauge(descData, float64(w.UsedData)*float64(p.BlockSize), "used")
		gauge(descData, float64(w.TotalData)*float64(p.BlockSize), "total")
		gauge(descMeta, float64(w.UsedMeta.Bytes()), "used")
		gauge(descMeta, float64(w.TotalMeta.Bytes()), "total")
		if w.Writable() == nil && w.Mode == thinpool.ModeReadWrite {
			writable = 1
		}
	}
	gauge(descWritable, writable)
	gauge(descTrash, float64(p.Trash))
	gauge(descLost, float64(p.Lost))
	gauge(descUnknown, float64(len(p.Unknown)))
	ch <- prometheus.MustNewConstMetric(descClock, prometheus.CounterValue, float64(p.Snapshots))
	kinds := map[snapshots.Kind]int{snapshots.KindActive: 0, snapshots.KindCommitted: 0, snapshots.KindView: 0}
	if err := c.d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { kinds[i.Kind]++; return nil }); err != nil {
		ch <- prometheus.NewInvalidMetric(descSnapshots, err)
		return
	}
	for kind, n := range kinds {
		gauge(descSnapshots, float64(n), string(kind))
	}
}

package serve

import (
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"intelligentmirror/internal/cache"
)

// metrics are what /-/metrics tells. No label has a value that a client chooses:
// they are outcomes, and repositories of the configuration. It is safe for
// concurrent use.
type metrics struct {
	page        http.Handler
	connections prometheus.Gauge
	underWay    prometheus.Gauge
	handshakes  *prometheus.CounterVec
	firstByte   [outcomes]prometheus.Observer
	duration    [outcomes]prometheus.Observer
	sent        [outcomes]prometheus.Counter
}

// Buckets, in seconds: the first byte of a hit comes within a millisecond, and
// that of a miss when upstream's has come; a large file on a slow line takes hours.
var (
	firstByteBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	durationBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
)

// newMetrics makes the metrics of s, and of whoever else has some.
func newMetrics(s *Server, more []prometheus.Collector) *metrics {
	r := prometheus.NewRegistry()
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imserve_connections", Help: "Connections of clients that are open.",
		}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imserve_requests_in_progress", Help: "Requests that are being answered.",
		}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imserve_intercepted_total", Help: "Tunnels to hosts of repositories that were intercepted, by what the client made of the certificate.",
		}, []string{"result"}),
	}
	for _, result := range []string{handshakeAccepted, handshakeUnused, handshakeRefused, handshakeFailed} {
		m.handshakes.WithLabelValues(result)
	}
	label := []string{"outcome"}
	firstByte := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "imserve_first_byte_seconds", Help: "Time from a request's header to the first byte of its answer.", Buckets: firstByteBuckets,
	}, label)
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "imserve_duration_seconds", Help: "Time from a request's header to the end of its answer.", Buckets: durationBuckets,
	}, label)
	sent := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imserve_sent_bytes_total", Help: "Bytes of bodies sent to clients.",
	}, label)
	for o := range outcomes {
		m.firstByte[o] = firstByte.WithLabelValues(o.String())
		m.duration[o] = duration.WithLabelValues(o.String())
		m.sent[o] = sent.WithLabelValues(o.String())
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.connections, m.underWay, m.handshakes, firstByte, duration, sent, looked{s})
	for _, c := range more {
		r.MustRegister(c)
	}
	m.page = promhttp.HandlerFor(r, promhttp.HandlerOpts{
		// What can be told is worth more than an error.
		ErrorHandling: promhttp.ContinueOnError,
	})
	return m
}

// What clients make of the certificates that they are shown within tunnels.
const (
	handshakeAccepted = "accepted"
	handshakeUnused   = "unused" // accepted, and nothing was asked
	handshakeRefused  = "refused"
	handshakeFailed   = "failed" // for whatever other reason
)

// note accounts an answer that has ended; first is how long its header took, if
// there was one.
func (m *metrics) note(e *event, begun bool, first time.Duration) {
	if begun {
		m.firstByte[e.Outcome].Observe(first.Seconds())
	}
	m.duration[e.Outcome].Observe(e.Took.Seconds())
	m.sent[e.Outcome].Add(float64(e.Sent))
}

// metricsPage answers with the metrics.
func (s *Server) metricsPage(a *answer) {
	a.Header().Set("Cache-Control", "no-store")
	if a.r.Method == http.MethodHead {
		a.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return
	}
	s.metrics.page.ServeHTTP(a, a.r)
}

// looked are the metrics that are looked at when somebody asks.
type looked struct{ s *Server }

var (
	downloadsDesc = desc("imserve_downloads_in_progress", "Files that are being downloaded from upstream, or validated.")
	followersDesc = desc("imserve_followers", "Answers that share a download which another request began.")
	upstreamDesc  = desc("imserve_upstream_bytes_total", "Bytes that came from upstream to be stored, of downloads that have ended.")
	nearbyDesc    = desc("imserve_sibling_bytes_total", "Bytes that came from siblings to be stored, of downloads that have ended.")
	bucketDesc    = desc("imserve_bucket_bytes_total", "Bytes that came from the bucket to be stored, of downloads that have ended.")
	abandonedDesc = desc("imserve_downloads_abandoned_total", "Downloads that were stopped because no client waited for them any more.")
	ledgerDesc    = desc("imserve_ledger_dropped_total", "Entries of the accounting that were lost because the disk was too slow.")
	accessDesc    = desc("imserve_access_log_dropped_total", "Lines of the access log that were lost because the disk was too slow.")
	refusedDesc   = desc("imserve_refused_total", "Answers of mirrors, and metadata, that were not taken, by why.", "reason")
	keptBackDesc  = desc("imserve_metadata_kept_back", "Roots whose new metadata is not served, since it is not whole or is refused.")
	mirrorsDesc   = desc("imserve_mirrors", "Mirrors of a repository.", "repo")
	restingDesc   = desc("imserve_mirrors_resting", "Mirrors of a repository that are left alone after a failure.", "repo")
	diskSizeDesc  = desc("imserve_disk_size_bytes", "Size of the file system that the cache is on.")
	diskFreeDesc  = desc("imserve_disk_free_bytes", "What is free of the file system that the cache is on.")
	readyDesc     = desc("imserve_ready", "1 if the server is ready, 0 if it can't store anything or is stopping.")
	buildDesc     = desc("imserve_build_info", "1, by the program's version.", "version")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (looked) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		downloadsDesc, followersDesc, upstreamDesc, nearbyDesc, bucketDesc, abandonedDesc, ledgerDesc, accessDesc, refusedDesc, keptBackDesc,
		mirrorsDesc, restingDesc, diskSizeDesc, diskFreeDesc, readyDesc, buildDesc,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (l looked) Collect(to chan<- prometheus.Metric) {
	s := l.s.current.Load()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	now := s.o.Cache.Activity()
	gauge(downloadsDesc, float64(now.Downloads))
	gauge(followersDesc, float64(now.Followers))
	counter(upstreamDesc, now.Fetched)
	counter(nearbyDesc, now.Nearby)
	counter(bucketDesc, now.Bucket)
	counter(abandonedDesc, now.Abandoned)
	if s.o.Ledger != nil {
		counter(ledgerDesc, s.o.Ledger.Dropped())
	}
	if s.access != nil {
		counter(accessDesc, s.access.lost.Load())
	}
	if s.o.Refused != nil {
		for r := cache.NoReason + 1; r < cache.Reasons; r++ {
			counter(refusedDesc, s.o.Refused.Count(r), r.String())
		}
	}
	if s.o.Metadata != nil {
		gauge(keptBackDesc, float64(len(s.o.Metadata.Problems())))
	}
	for _, r := range s.o.Config.Repos {
		if m := s.o.Mirrors(r.Name); m != nil {
			h := m.Health()
			gauge(mirrorsDesc, float64(h.Mirrors), r.Name)
			gauge(restingDesc, float64(h.Resting), r.Name)
		}
	}
	diskSize, diskFree := math.NaN(), math.NaN()
	if size, free, err := s.o.Cache.Disk(); err == nil {
		diskSize, diskFree = float64(size), float64(free)
	}
	gauge(diskSizeDesc, diskSize)
	gauge(diskFreeDesc, diskFree)
	ready := 0.0
	if s.unready() == nil {
		ready = 1
	}
	gauge(readyDesc, ready)
	gauge(buildDesc, 1, s.o.Version)
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	imsync "intelligentmirror/sync"
)

// syncs are metrics of imsync's runs, which are over before anybody could ask
// imsync for them: what it remembers of them is read when somebody asks imserve.
// Where it never ran there are none. It is a prometheus.Collector.
type syncs struct {
	dir string // the state directory
	log *slog.Logger
}

// pastWithin is how long a scrape waits for the memory of past runs.
const pastWithin = 2 * time.Second

var (
	lastRunDesc      = syncDesc("imsync_last_run_timestamp_seconds", "When the last run of imsync ended, Unix time.")
	lastDurationDesc = syncDesc("imsync_last_run_duration_seconds", "How long the last run of imsync took.")
	lastCompleteDesc = syncDesc("imsync_last_run_completed", "1 if the last run of imsync came to its end, 0 if something ended it, such as the end of sync.window.")
	lastSuccessDesc  = syncDesc("imsync_last_completed_run_timestamp_seconds", "When the last run of imsync began that came to its end, Unix time.")
	lastFetchedDesc  = syncDesc("imsync_last_run_fetched_packages", "Packages that the last run of imsync fetched.")
	lastBytesDesc    = syncDesc("imsync_last_run_bytes", "Bytes that the last run of imsync downloaded.")
	lastResumedDesc  = syncDesc("imsync_last_run_resumed_bytes", "Bytes that the last run of imsync found of an earlier one.")
	prefetchedDesc   = prometheus.NewDesc("imsync_prefetched_packages",
		"Packages that were prefetched within a year before the last run, by what brought them and by what became of them.", []string{"source", "outcome"}, nil)
	prefetchedBytesDesc = prometheus.NewDesc("imsync_prefetched_bytes",
		"Bytes of packages that were prefetched within a year before the last run, by what brought them and by what became of them.", []string{"source", "outcome"}, nil)
	lastFailedDesc = syncDesc("imsync_last_run_failures", "Items that the last run of imsync could not fetch.")
)

func syncDesc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// Describe implements prometheus.Collector.
func (syncs) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		lastRunDesc, lastDurationDesc, lastCompleteDesc, lastSuccessDesc, lastFetchedDesc, lastBytesDesc, lastResumedDesc, lastFailedDesc,
		prefetchedDesc, prefetchedBytesDesc,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s syncs) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), pastWithin)
	defer cancel()
	p, err := imsync.ReadPast(ctx, s.dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && p.Last == nil {
		return
	}
	if err != nil {
		s.log.Warn("nothing can be told of imsync's runs", "error", err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	completed := 0.0
	if p.Ended == "" && p.Last.Stopped == "" {
		completed = 1
	}
	gauge(lastRunDesc, float64(p.Last.Finished.Unix()))
	gauge(lastDurationDesc, p.Last.Finished.Sub(p.Last.Started).Seconds())
	gauge(lastCompleteDesc, completed)
	if !p.LastSuccess.IsZero() {
		gauge(lastSuccessDesc, float64(p.LastSuccess.Unix()))
	}
	gauge(lastFetchedDesc, float64(p.Last.Fetched))
	gauge(lastBytesDesc, float64(p.Last.Bytes))
	gauge(lastResumedDesc, float64(p.Last.ResumedBytes))
	gauge(lastFailedDesc, float64(p.Last.Failures))
	for _, s := range p.Last.Sources {
		outcome := func(name string, packages int, bytes int64) {
			to <- prometheus.MustNewConstMetric(prefetchedDesc, prometheus.GaugeValue, float64(packages), string(s.Source), name)
			to <- prometheus.MustNewConstMetric(prefetchedBytesDesc, prometheus.GaugeValue, float64(bytes), string(s.Source), name)
		}
		outcome("used", s.Used, s.UsedBytes)
		outcome("wasted", s.Wasted, s.WastedBytes)
		outcome("waiting", s.Waiting, s.WaitingBytes)
	}
}

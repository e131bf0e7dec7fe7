package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

// reloads counts what became of the configuration on SIGHUP, as a
// prometheus.Collector.
type reloads struct {
	prometheus.Collector
	count *prometheus.CounterVec
}

func newReloads() *reloads {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "imserve_config_reloads_total", Help: "How often the configuration was read again, by what came of it.",
	}, []string{"result"})
	for _, result := range []string{"applied", "refused"} {
		v.WithLabelValues(result)
	}
	return &reloads{Collector: v, count: v}
}

func (r *reloads) succeeded() { r.count.WithLabelValues("applied").Inc() }

func (r *reloads) failed() { r.count.WithLabelValues("refused").Inc() }

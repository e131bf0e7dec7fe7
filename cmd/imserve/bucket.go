package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"intelligentmirror/internal/bucket"
	"intelligentmirror/serve"
)

// bucketState tells the status page of the uploads; nil where there is no bucket.
func bucketState(u *bucket.Uploads) func() serve.BucketState {
	if u == nil {
		return nil
	}
	return func() serve.BucketState { return serve.BucketState(u.Status()) }
}

// uploads are metrics of what goes to the bucket; of what comes from there the server
// has its own. Where there is no bucket there are none. It is a prometheus.Collector.
type uploads struct{ of *bucket.Uploads }

var (
	uploadsWaitDesc  = prometheus.NewDesc("imserve_bucket_waiting", "Files that wait to be uploaded to the bucket, of both programs.", nil, nil)
	uploadsDesc      = prometheus.NewDesc("imserve_bucket_uploads_total", "Files that were uploaded to the bucket.", nil, nil)
	uploadsBytesDesc = prometheus.NewDesc("imserve_bucket_uploaded_bytes_total", "Bytes that were uploaded to the bucket.", nil, nil)
	uploadsFailDesc  = prometheus.NewDesc("imserve_bucket_upload_failures_total", "Uploads to the bucket that failed, and are tried again.", nil, nil)
	uploadsUpDesc    = prometheus.NewDesc("imserve_bucket_up", "1 if the last upload to the bucket did not fail, else 0.", nil, nil)
)

// Describe implements prometheus.Collector.
func (uploads) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{uploadsWaitDesc, uploadsDesc, uploadsBytesDesc, uploadsFailDesc, uploadsUpDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (u uploads) Collect(to chan<- prometheus.Metric) {
	if u.of == nil {
		return
	}
	s := u.of.Status()
	up := 1.0
	if s.Error != "" {
		up = 0
	}
	to <- prometheus.MustNewConstMetric(uploadsWaitDesc, prometheus.GaugeValue, float64(s.Waiting))
	to <- prometheus.MustNewConstMetric(uploadsDesc, prometheus.CounterValue, float64(s.Uploaded))
	to <- prometheus.MustNewConstMetric(uploadsBytesDesc, prometheus.CounterValue, float64(s.Bytes))
	to <- prometheus.MustNewConstMetric(uploadsFailDesc, prometheus.CounterValue, float64(s.Failures))
	to <- prometheus.MustNewConstMetric(uploadsUpDesc, prometheus.GaugeValue, up)
}

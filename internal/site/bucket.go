package site

import (
	"log/slog"
	"time"

	"intelligentmirror/internal/bucket"
	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/upstream"
)

// OpenBucket is the bucket of cfg, nil where it has none. No request is made; the error
// wraps bucket.ErrCredentials where there are none that can be used.
func OpenBucket(cfg *config.Config, program string, now func() time.Time) (*bucket.Bucket, error) {
	if cfg.Bucket.IsZero() {
		return nil, nil
	}
	return bucket.Open(bucket.Options{
		Name: cfg.Bucket.Name, Prefix: cfg.Bucket.Prefix, Endpoint: cfg.BucketEndpoint, Region: cfg.BucketRegion,
		Credentials: cfg.BucketCredentials, Program: program, Version: Version(), Now: now,
	})
}

// shared is the bucket as mirrors ask it, nil where there is none.
func (s *Site) shared() upstream.Bucket {
	if s.Bucket == nil {
		return nil
	}
	return s.Bucket
}

// uploads makes ready to upload what the cache commits.
func (s *Site) uploads(log *slog.Logger) (*bucket.Uploads, error) {
	return bucket.NewUploads(bucket.UploadOptions{
		Bucket: s.Bucket, Cache: s.Cache, Wanted: s.BelongsInBucket, Now: s.o.Now, Log: log,
	})
}

// committed is told of each file that is stored.
func (s *Site) committed(k cache.Key, name string, f cache.Facts) {
	if s.Uploads != nil {
		s.Uploads.Note(k, name, f)
	}
}

// BelongsInBucket reports whether a stored file, of which f is known, is one that caches
// share by the bucket: metadata that can change under its name is upstream's to give,
// each time, and what strangers have is theirs.
func (s *Site) BelongsInBucket(k cache.Key, f cache.Facts) bool {
	if k.Repo == cache.Strangers || f.SHA256 == "" {
		return false
	}
	return f.Met != "" || s.now.Load().config.Serve.Classify("/"+k.String()) != config.Metadata
}

package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/cache"
)

const (
	// atOnce is how many files are uploaded at a time, and mostWaiting how many may
	// wait: some weeks of a large site's, in 400 MB of small files.
	atOnce      = 4
	mostWaiting = 100_000
	// lookEvery is how often one looks for what the other program has stored.
	lookEvery = 10 * time.Second
	// minPause and maxPause are how long a bucket that fails is left alone.
	minPause = time.Second
	maxPause = 5 * time.Minute
	// giveUpAfter is how many uploads in a row have to fail for the bucket to be what
	// is wrong, and not the files.
	giveUpAfter = 3
)

// UploadOptions are what Uploads need.
type UploadOptions struct {
	Bucket *Bucket
	Cache  *cache.Cache
	// Wanted says which files belong into the bucket: those that never change under
	// their name, and those of which metadata promised the digest.
	Wanted func(k cache.Key, f cache.Facts) bool
	Now    func() time.Time // nil is time.Now
	Log    *slog.Logger     // nil discards
}

// Uploads brings what is committed into the bucket, beside the requests. It is safe for
// concurrent use, by both programs.
type Uploads struct {
	o     UploadOptions
	queue *queue
	wake  chan struct{}

	mu  sync.Mutex
	now Status
}

// Status is how the uploads stand, since the process began.
type Status struct {
	Bucket   string    `json:"bucket"`                 // "s3://name/prefix"
	Waiting  int64     `json:"waiting"`                // files, of both programs
	Uploaded int64     `json:"uploaded"`               // files
	Bytes    int64     `json:"uploaded_bytes"`         //
	Failures int64     `json:"failures"`               // uploads that are tried again
	Since    time.Time `json:"failing_since,omitzero"` // when the bucket began to fail; zero while it does not
	Error    string    `json:"error,omitempty"`        // the last, while it fails
}

// NewUploads opens the queue of the cache.
func NewUploads(o UploadOptions) (*Uploads, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q, err := openQueue(o.Cache.Own("bucket"), mostWaiting)
	if err != nil {
		return nil, err
	}
	return &Uploads{o: o, queue: q, wake: make(chan struct{}, 1), now: Status{Bucket: o.Bucket.String()}}, nil
}

// Note says that a file was stored under a name below the cache directory: it is to be
// uploaded, if it belongs into the bucket. It waits for no network.
func (u *Uploads) Note(k cache.Key, at string, f cache.Facts) {
	if !u.o.Wanted(k, f) || len(u.o.Bucket.name(k)) > mostName {
		return
	}
	if err := u.queue.add(waiting{Repo: k.Repo, Path: k.Path, At: at, Since: u.o.Now(), Anew: u.o.Bucket.mend(k)}); err != nil {
		u.o.Log.Warn("a file is not uploaded to the bucket for now", "file", k.String(), "error", err, "advice", "imsync prune finds it again")
		return
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// Status tells how the uploads stand.
func (u *Uploads) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.now
	s.Waiting = max(u.queue.n.Load(), 0)
	return s
}

// Tend uploads what waits, until ctx ends. What the bucket does not take is tried
// again, after a pause that grows with its failures.
func (u *Uploads) Tend(ctx context.Context) {
	pause := time.Duration(0)
	for {
		err := u.Drain(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil || errors.Is(err, errElsewhere):
			pause = 0
		default:
			pause = min(max(2*pause, minPause), maxPause)
			u.o.Log.Warn("the bucket takes no uploads", "waiting", u.Status().Waiting, "error", err, "again_in", pause)
		}
		wake, wait := u.wake, lookEvery
		if pause > 0 {
			wake, wait = nil, pause
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Drain uploads what waits now, unless another process does. What fails goes on
// waiting; the error says why, where the bucket seems to be what is wrong.
func (u *Uploads) Drain(ctx context.Context) error {
	unlock, err := u.queue.lock()
	if err != nil {
		return err
	}
	defer unlock()
	names, err := u.queue.names()
	if err != nil {
		return err
	}
	u.queue.n.Store(int64(len(names)))
	var g errgroup.Group
	g.SetLimit(atOnce)
	var mu sync.Mutex
	failures := 0
	var last error
	for _, name := range names {
		mu.Lock()
		enough := failures >= giveUpAfter
		mu.Unlock()
		if enough || ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			w, ok := u.queue.read(name)
			if !ok {
				return nil
			}
			sent, err := u.upload(ctx, w)
			if ctx.Err() != nil {
				return nil // it goes on the next time
			}
			u.note(sent, err)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures++
				last = err
				return nil
			}
			failures = 0
			u.queue.done(w)
			return nil
		})
	}
	return errors.Join(g.Wait(), ctx.Err(), last)
}

// note accounts one that was tried.
func (u *Uploads) note(sent int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.now.Failures++
		u.now.Error = err.Error()
		if u.now.Since.IsZero() {
			u.now.Since = u.o.Now()
		}
		return
	}
	u.now.Since, u.now.Error = time.Time{}, ""
	if sent >= 0 {
		u.now.Uploaded++
		u.now.Bytes += sent
	}
}

// upload brings one file into the bucket; sent is -1 where there was no need to. That
// it is gone, damaged or withdrawn is no error: there is nothing to upload then.
func (u *Uploads) upload(ctx context.Context, w waiting) (sent int64, err error) {
	k := w.key()
	if u.o.Cache.IsWithdrawn(k) {
		return -1, nil
	}
	file, facts, err := u.o.Cache.Open(w.At)
	if errors.Is(err, fs.ErrNotExist) && w.At != k.String() {
		// A generation's file that has got its name.
		file, facts, err = u.o.Cache.Open(k.String())
	}
	if err != nil {
		u.o.Log.Debug("nothing to upload", "file", k.String(), "reason", err)
		return -1, nil
	}
	defer file.Close()
	if facts.SHA256 == "" {
		u.o.Log.Debug("nothing to upload", "file", k.String(), "reason", "its digest is not known")
		return -1, nil
	}
	if !w.Anew {
		if there, err := u.o.Bucket.Has(ctx, k, facts); err != nil || there {
			return -1, err
		}
	}
	switch err := undamaged(ctx, file, facts); {
	case ctx.Err() != nil:
		return -1, ctx.Err() // nothing is known of the file
	case err != nil:
		u.o.Log.Warn("a stored file is not uploaded", "file", k.String(), "error", err, "advice", "imsync verify --repair")
		return -1, nil
	}
	if err := u.o.Bucket.Put(ctx, k, facts, file); err != nil {
		return 0, err
	}
	u.o.Log.Debug("uploaded", "file", k.String(), "bytes", facts.Size)
	return facts.Size, nil
}

// undamaged reads the file, and reports whether it still has its digest: damage is not
// spread.
func undamaged(ctx context.Context, file *os.File, f cache.Facts) error {
	h := f.SHA256.New()
	r := io.NewSectionReader(file, 0, f.Size)
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if is := cache.SHA256(h.Sum(nil)); is != f.SHA256 {
		return fmt.Errorf("%s, it should be %s: %w", is, f.SHA256, cache.ErrWrongContent)
	}
	return nil
}

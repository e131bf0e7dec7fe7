// Package bucket is an object store (S3) that several caches of a site share: a source
// that is asked before the mirrors, and a place that what was committed is uploaded to.
//
// What it promises:
//
//   - The local disk stays the store. A request waits for the bucket as for a mirror,
//     never for an upload; a bucket that is out of reach costs no client anything.
//   - An object is a stored file under the path that it has in the cache, whole or not
//     at all, with its SHA-256 and upstream's time beside it.
//   - Nothing in it is believed: what comes is held to what metadata promises or, where
//     that is nothing, to the digest beside it, and then upstream is asked whether it
//     still has the file (internal/upstream, near.go).
//   - What waits to be uploaded is a small file each below .im/bucket/ of the cache:
//     both programs add to them, one at a time of all works them off, and what a crash
//     or a bucket that is away leaves is taken up later.
//
// Read bucket.go and list.go (the objects), credentials.go (who may), then queue.go and
// uploads.go (what waits, and its way there).
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// Options say where a bucket is, and who asks.
type Options struct {
	Name   string // the bucket's
	Prefix string // what all of its objects' names begin with, without slashes at its ends; "" is nothing
	// Endpoint is the URL of the server, without a path; "" is Amazon's.
	Endpoint string
	Region   string // that requests are signed for
	// Credentials is a file as Amazon's programs have it; "" takes them from the
	// environment.
	Credentials string
	Program     string              // that asks: "imserve"
	Version     string              // of the program
	Getenv      func(string) string // nil is os.Getenv
	Now         func() time.Time    // nil is time.Now
}

// Amazon's own server.
const amazon = "https://s3.amazonaws.com"

const (
	// connect and answer are how long a client's request may wait for a server that
	// does not answer, before a mirror is asked in its place. Object stores take some
	// seconds where they are busy.
	connect = 2 * time.Second
	answer  = 10 * time.Second
	// settle is how long a server may take to answer when it has all of an object, and
	// standstill how long an upload may stand still.
	settle     = 2 * time.Minute
	standstill = time.Minute
	// partSize is from which size on an object is uploaded in parts of as many bytes,
	// each tried again by itself. They are seen together, when the last is there.
	partSize = 64 << 20
	// writes is how often a request of an upload is tried.
	writes = 3
)

// Names of the fields beside an object.
const (
	sumField       = "Im-Sha256"    // as cache.Digest
	modifiedField  = "Im-Modified"  // upstream's time, as HTTP writes it
	confirmedField = "Im-Confirmed" // when upstream last said that these are its bytes, RFC 3339
	fieldPrefix    = "X-Amz-Meta-"
)

// Bucket is a bucket. It implements upstream.Bucket, and is safe for concurrent use.
type Bucket struct {
	o        Options
	endpoint *url.URL
	read     *minio.Core // while a client waits: one try
	write    *minio.Core

	mu      sync.Mutex
	damaged map[cache.Key]bool
}

// mostDamaged bounds what is remembered of damage: more is a server's, whose objects
// somebody has to see to.
const mostDamaged = 1000

// Open makes ready to ask the bucket; no request is made. The error wraps
// ErrCredentials where there are none that can be used.
func Open(o Options) (*Bucket, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Endpoint == "" {
		o.Endpoint = amazon
	}
	b := &Bucket{o: o, damaged: map[cache.Key]bool{}}
	var err error
	if b.endpoint, err = url.Parse(o.Endpoint); err != nil {
		return nil, fmt.Errorf("bucket_endpoint: %w", err)
	}
	creds, err := keysOf(o)
	if err != nil {
		return nil, err
	}
	client := func(header time.Duration, tries int) (*minio.Core, error) {
		c, err := minio.NewCore(b.endpoint.Host, &minio.Options{
			Creds: creds, Secure: b.endpoint.Scheme == "https", Region: o.Region, MaxRetries: tries,
			Transport: upstream.KeepAlive(&http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
				TLSHandshakeTimeout:   connect,
				ResponseHeaderTimeout: header,
				IdleConnTimeout:       90 * time.Second,
				MaxIdleConnsPerHost:   64,
				DisableCompression:    true,
				ReadBufferSize:        64 << 10,
				WriteBufferSize:       64 << 10,
			}),
		})
		if err != nil {
			return nil, fmt.Errorf("bucket %s at %s: %w", o.Name, o.Endpoint, err)
		}
		c.SetAppInfo(o.Program, o.Version)
		return c, nil
	}
	if b.read, err = client(answer, 1); err != nil {
		return nil, err
	}
	b.write, err = client(settle, writes)
	return b, err
}

// name is the object of a file.
func (b *Bucket) name(k cache.Key) string { return b.under(k.String()) }

// under is the name of what has a path in the cache.
func (b *Bucket) under(path string) string {
	if b.o.Prefix == "" {
		return path
	}
	return b.o.Prefix + "/" + path
}

// key is the file whose object has a name; ok is false where it can't be one's.
func (b *Bucket) key(name string) (k cache.Key, ok bool) {
	if b.o.Prefix != "" {
		if name, ok = strings.CutPrefix(name, b.o.Prefix+"/"); !ok {
			return k, false
		}
	}
	repo, path, ok := strings.Cut(name, "/")
	if !ok || repo == "" {
		return k, false
	}
	k, err := cache.NewKey(repo, cache.Key{Path: path}.EscapedPath())
	return k, err == nil && k.Path == path
}

// URL implements upstream.Bucket.
func (b *Bucket) URL(repo string) string {
	return b.endpoint.JoinPath(b.o.Name, b.under(repo)).String()
}

// String is the bucket as the configuration has it.
func (b *Bucket) String() string {
	return strings.TrimSuffix("s3://"+b.o.Name+"/"+b.o.Prefix, "/")
}

// Copy implements upstream.Bucket.
func (b *Bucket) Copy(ctx context.Context, k cache.Key, off int64) (*upstream.Copy, error) {
	var o minio.GetObjectOptions
	if off > 0 {
		if err := o.SetRange(off, 0); err != nil {
			return nil, err
		}
	}
	body, info, header, err := b.read.GetObject(ctx, b.o.Name, b.name(k), o)
	if err != nil {
		return nil, b.failed("read", k.String(), err)
	}
	has := &upstream.Copy{Body: body, Size: info.Size, URL: b.URL(k.Repo) + "/" + k.EscapedPath()}
	if off > 0 {
		if !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", off)) {
			body.Close()
			return nil, fmt.Errorf("%s: asked for bytes from %d on, got %q", has.URL, off, header.Get("Content-Range"))
		}
		has.From, has.Size = off, off+info.Size
	}
	n := notesOf(header)
	has.SHA256, has.LastModified, has.Confirmed = n.sum, n.modified, n.confirmed
	return has, nil
}

// notes are what stands beside an object.
type notes struct {
	sum       cache.Digest
	modified  string
	confirmed time.Time
}

// notesOf reads them from an answer's header. What can't be read is unknown.
func notesOf(h http.Header) (n notes) {
	typ, sum, _ := strings.Cut(h.Get(fieldPrefix+sumField), ":")
	if d, err := cache.NewDigest(typ, sum); err == nil && d.Type() == "sha256" {
		n.sum = d
	}
	if t, err := http.ParseTime(h.Get(fieldPrefix + modifiedField)); err == nil {
		n.modified = t.UTC().Format(http.TimeFormat)
	}
	// Where it can't be read it is zero, which is unknown.
	n.confirmed, _ = time.Parse(time.RFC3339, h.Get(fieldPrefix+confirmedField))
	return n
}

// Has reports whether the object of k is there with the digest and the size of f.
func (b *Bucket) Has(ctx context.Context, k cache.Key, f cache.Facts) (bool, error) {
	info, err := b.write.StatObject(ctx, b.o.Name, b.name(k), minio.StatObjectOptions{})
	if err != nil {
		if err = b.failed("look at", k.String(), err); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	return info.Size == f.Size && notesOf(info.Metadata).sum == f.SHA256, nil
}

// Put uploads the bytes of the stored file k, whose facts are f, and replaces the object
// that there is. Nobody sees it before it is whole. It ends with ctx, and where nothing
// goes on for a minute.
func (b *Bucket) Put(ctx context.Context, k cache.Key, f cache.Facts, file *os.File) error {
	modified := f.LastModified
	if modified == "" {
		modified = f.ModTime.UTC().Format(http.TimeFormat)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	still := time.AfterFunc(standstill, func() {
		cancel(fmt.Errorf("no byte for %s", standstill))
	})
	defer still.Stop()
	up := minio.PutObjectOptions{
		ContentType: "application/octet-stream",
		PartSize:    partSize,
		NumThreads:  1, // several files go at a time
		Progress:    moving(func() { still.Reset(standstill + settle) }),
		UserMetadata: map[string]string{
			sumField: string(f.SHA256), modifiedField: modified, confirmedField: f.Validated.UTC().Format(time.RFC3339),
		},
	}
	_, err := b.write.Client.PutObject(ctx, b.o.Name, b.name(k), io.NewSectionReader(file, 0, f.Size), f.Size, up)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return b.failed("upload", k.String(), err)
	}
	return nil
}

// moving is called for what an upload has read.
type moving func()

// Read implements io.Reader: b is what has been read.
func (m moving) Read(b []byte) (int, error) {
	m()
	return len(b), nil
}

// Damaged implements upstream.Bucket.
func (b *Bucket) Damaged(k cache.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.damaged) < mostDamaged {
		b.damaged[k] = true
	}
}

// mend reports whether the object of k was found damaged, and forgets it.
func (b *Bucket) mend(k cache.Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.damaged[k]
	delete(b.damaged, k)
	return was
}

// nowhere is a name that no file of a cache has.
const nowhere = ".im/nothing"

// Awake implements upstream.Bucket. A bucket that does not let us read is as good as
// none.
func (b *Bucket) Awake(ctx context.Context) bool {
	_, err := b.read.StatObject(ctx, b.o.Name, b.under(nowhere), minio.StatObjectOptions{})
	return err == nil || errors.Is(b.failed("look at", nowhere, err), fs.ErrNotExist)
}

// failed is err with what was tried. It wraps fs.ErrNotExist where there is no such
// object.
func (b *Bucket) failed(try, path string, err error) error {
	var said minio.ErrorResponse
	if errors.As(err, &said) {
		switch {
		case said.Code == minio.NoSuchBucket:
			return fmt.Errorf("%s %s in %s at %s: there is no such bucket: create it, or see to `bucket`", try, path, b, b.o.Endpoint)
		case said.Code == minio.NoSuchKey, said.StatusCode == http.StatusNotFound, said.StatusCode == http.StatusRequestedRangeNotSatisfiable:
			return fmt.Errorf("%s %s in %s: %w", try, path, b, fs.ErrNotExist)
		case said.StatusCode == http.StatusForbidden:
			return fmt.Errorf("%s %s in %s at %s: %w: see to the credentials, and to what they are allowed", try, path, b, b.o.Endpoint, err)
		}
	}
	return fmt.Errorf("%s %s in %s at %s: %w", try, path, b, b.o.Endpoint, err)
}

package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	"intelligentmirror/internal/cache"
)

// Entry is an object, as it is listed.
type Entry struct {
	Key      cache.Key
	Size     int64     // bytes
	Uploaded time.Time // by the server's clock
}

// List calls visit with each object that is a file of a cache, in the order of their
// names, until visit returns an error, which it then returns, or ctx ends. What else
// lies in the bucket is none of our business.
func (b *Bucket) List(ctx context.Context, visit func(Entry) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	prefix := b.under("")
	for o := range b.write.ListObjectsIter(ctx, b.o.Name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return b.failed("list", "the objects", o.Err)
		}
		k, ok := b.key(o.Key)
		if !ok {
			continue
		}
		if err := visit(Entry{k, o.Size, o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Remove deletes the objects of these files. That one is not there is no error.
func (b *Bucket) Remove(ctx context.Context, keys []cache.Key) error {
	// As many as a request takes.
	for some := range slices.Chunk(keys, 1000) {
		objects := make(chan minio.ObjectInfo, len(some))
		for _, k := range some {
			objects <- minio.ObjectInfo{Key: b.name(k)}
		}
		close(objects)
		var errs []error
		for e := range b.write.RemoveObjects(ctx, b.o.Name, objects, minio.RemoveObjectsOptions{}) {
			if e.Err != nil && len(errs) < mostErrors {
				errs = append(errs, b.failed("delete", e.ObjectName, e.Err))
			}
		}
		if err := errors.Join(append(errs, ctx.Err())...); err != nil {
			return err
		}
	}
	return nil
}

// mostErrors is how many errors of one kind are worth reading.
const mostErrors = 3

// Sweep gives up what uploads in parts have left that began before a time, and that
// nobody will end: servers keep such parts, and charge for them, until somebody does.
// It returns how many they were.
func (b *Bucket) Sweep(ctx context.Context, before time.Time) (n int, err error) {
	for u := range b.write.ListIncompleteUploads(ctx, b.o.Name, b.under(""), true) {
		if u.Err != nil {
			return n, b.failed("list", "the unfinished uploads", u.Err)
		}
		if _, ok := b.key(u.Key); !ok || !u.Initiated.Before(before) {
			continue
		}
		if err := b.write.AbortMultipartUpload(ctx, b.o.Name, u.Key, u.UploadID); err != nil {
			return n, fmt.Errorf("give up the upload of %s: %w", u.Key, err)
		}
		n++
	}
	return n, ctx.Err()
}

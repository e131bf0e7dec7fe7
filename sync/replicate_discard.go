package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/manifest"
)

// discard deletes what the other has deleted: what it once had, and has not got any
// more. A file that came from elsewhere, or is another one by now, stays; so does one
// that only metadata lists which was replaced here a short while ago.
func (r *replication) discard(ctx context.Context) error {
	if r.report.Files == 0 {
		r.leave(r.how.From, "it has nothing stored at all, which is taken for an accident: nothing is deleted")
		return nil
	}
	goes := map[string]*mass{}
	err := r.dropped(func(l manifest.Line, k cache.Key, w cache.Want) error {
		if why := r.stays(k, w); why != gone {
			return nil
		}
		name := r.repository(k)
		if goes[name] == nil {
			goes[name] = &mass{}
		}
		goes[name].files++
		goes[name].bytes += l.Size
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := r.guard(ctx, goes); err != nil {
		return err
	}
	var left todo
	defer left.close()
	if err := left.open(r.dir); err != nil {
		return err
	}
	went := map[string]mass{}
	err = r.dropped(func(l manifest.Line, k cache.Key, w cache.Want) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		stays, err := r.drop(k, w, goes, went)
		if err != nil {
			r.fail(l.Path, err)
		}
		if stays || err != nil {
			return manifest.Write(left.out[0], l)
		}
		return nil
	})
	for name, m := range went {
		if herr := r.history.dropped(name, m, r.now()); herr != nil {
			err = errors.Join(err, fmt.Errorf("remember what was deleted: %w", herr))
		}
	}
	if err != nil {
		return err
	}
	if err := left.ready(); err != nil {
		return err
	}
	return r.replace(knownName, func(w io.Writer) error {
		_, err := r.withOpen(manifestName, func(now io.Reader) (string, error) { return "", manifest.Union(w, left.lists[0], now) })
		return err
	}, nil)
}

// dropped calls visit with each file that the other once had and has not got any more.
func (r *replication) dropped(visit func(manifest.Line, cache.Key, cache.Want) error) error {
	_, err := r.withOpen(knownName, func(known io.Reader) (string, error) {
		return r.withOpen(manifestName, func(now io.Reader) (string, error) {
			return "", manifest.Missing(known, now, func(l manifest.Line) error {
				k, w, ok := keyOf(l)
				if !ok {
					return nil
				}
				return visit(l, k, w)
			})
		})
	})
	return err
}

// fate is what becomes of a file that the other has not got any more.
type fate int

const (
	gone     fate = iota // it goes
	notOurs              // it is not here any more, or another one
	needed               // by clients that hold metadata which was replaced, or by a root that is held
	anchored             // a repository that is here whole is found by it
)

// stays says what becomes of k, which had the digest of w there.
func (r *replication) stays(k cache.Key, w cache.Want) fate {
	now, listed := r.site.Generations.Lookup(k)
	facts, err := r.site.Cache.Known(k)
	switch {
	case err != nil || !facts.Keeps(w.Digest):
		return notOurs
	case listed && !now.Known():
		return needed
	}
	if root, entry := generation.EntryOf(k); entry && r.site.Generations.Keeps(root) {
		return anchored
	}
	if _, owners := r.site.Generations.Owners(k); slices.ContainsFunc(owners, func(o generation.Owner) bool { return o.Held }) {
		return needed
	}
	return gone
}

// repository is what k counts for where too much would go at once.
func (r *replication) repository(k cache.Key) string {
	if name, _ := r.site.Generations.Owners(k); name != "" {
		return name
	}
	return k.Repo
}

// guard takes those of which too much would go at once out of goes.
func (r *replication) guard(ctx context.Context, goes map[string]*mass) error {
	if len(goes) == 0 {
		return nil
	}
	err := r.site.Cache.Walk(ctx, func(k cache.Key, f cache.Facts) error {
		if m := goes[r.repository(k)]; m != nil {
			m.of++
			m.ofBytes += f.Size
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, m := range goes {
		// What has gone within the day counts as if it went now.
		before, err := r.history.droppedSince(name, r.now().Add(-withinDay))
		if err != nil {
			return fmt.Errorf("see what was deleted lately: %w", err)
		}
		all := mass{files: m.files + before.files, of: m.of + before.files, bytes: m.bytes + before.bytes, ofBytes: m.ofBytes + before.bytes}
		if all.tooMuch() && !slices.Contains(r.confirm, name) {
			r.report.Guarded = append(r.report.Guarded, Guarded{Root: name, Files: m.files, Of: m.of, Bytes: m.bytes, OfBytes: m.ofBytes, Delete: true, From: r.how.From})
			delete(goes, name)
		}
	}
	slices.SortFunc(r.report.Guarded, func(a, b Guarded) int { return strings.Compare(a.Root, b.Root) })
	return nil
}

// drop deletes k if it is to go, and reports whether it is to be looked at again by
// the next copy.
func (r *replication) drop(k cache.Key, w cache.Want, goes map[string]*mass, went map[string]mass) (stays bool, err error) {
	switch r.stays(k, w) {
	case notOurs:
		return false, nil
	case needed, anchored:
		r.report.Kept++
		return true, nil
	}
	name := r.repository(k)
	if goes[name] == nil {
		return true, nil // guarded, or it has appeared just now
	}
	freed, ok, err := r.site.Cache.Discard(k, w.Digest)
	if errors.Is(err, cache.ErrInUse) {
		r.report.Kept++
		return true, nil
	}
	if err != nil || !ok {
		return err != nil, err
	}
	m := went[name]
	m.files++
	m.bytes += w.Size
	went[name] = m
	r.report.Deleted = append(r.report.Deleted, Removed{k.String(), freed, RuleReplica,
		fmt.Sprintf("%s has not got it any more since %s", r.how.From, r.now().UTC().Format(time.DateOnly))})
	return false, nil
}

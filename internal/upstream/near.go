package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"intelligentmirror/internal/cache"
)

// errNotStored says that a neighbour has no copy that is of use.
var errNotStored = errors.New("not stored there")

// Copy is what a neighbour has of a file: the bytes from some offset on, and what it
// knows of the whole.
type Copy struct {
	Body         io.ReadCloser
	From         int64        // the first byte that Body has
	Size         int64        // of the whole file, in bytes; -1 unknown
	SHA256       cache.Digest // of the whole file; "" unknown
	LastModified string       // upstream's, as HTTP writes it; "" unknown
	Confirmed    time.Time    // when upstream last said that these are its bytes; zero unknown
	URL          string       // where it is, for people
}

// neighbour is a place of the site's own that may have stored what upstream once sent:
// another cache, or the bucket. It is asked before any mirror, and believed what a
// digest proves.
type neighbour struct {
	*mirror
	called string // for people
	// copy opens the file of r from byte off on. The error wraps errNotStored where
	// there is nothing of use, errLoop where it never will have any.
	copy func(ctx context.Context, r cache.Request, off int64) (*Copy, error)
	// awake reports whether it answers, whatever it says of the file at the address.
	awake func(ctx context.Context, address string) bool
	// damaged is told of a file that was not what it should be; nil is not.
	damaged func(k cache.Key)
	// head is what is noted of a body that it sends.
	head func(*Copy) cache.Head
}

// askNear asks the neighbours for a file that is missing here; done says that err is
// the end of the inquiry. Whether upstream still has what no digest proves, upstream
// says.
func (m *Mirrors) askNear(ctx context.Context, r cache.Request, p *cache.Partial, w way) (done bool, err error) {
	off, _ := p.Resume()
	switch known := r.Want.Known(); {
	case len(m.near) == 0, r.Stored != nil, known && off == r.Want.Size:
		return false, nil
	case !known && (off > 0 || m.vets(r) || m.repo.Mutable == nil || m.repo.Mutable(r.Key.Path)):
		return false, nil
	}
	for _, x := range m.near {
		switch x.health(m.c.o.Now()) {
		case due:
			m.probe(x.mirror, r.Key, x.awake)
			continue
		case well:
		default:
			continue
		}
		done, err := m.askNeighbour(ctx, x, r, p, w)
		if done {
			return true, err
		}
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
	}
	return false, nil
}

// askNeighbour is askNear for one of them.
func (m *Mirrors) askNeighbour(ctx context.Context, x *neighbour, r cache.Request, p *cache.Partial, w way) (done bool, err error) {
	start := m.c.o.Now()
	fail := func(err error, cost time.Duration) {
		if ctx.Err() == nil {
			m.c.o.Log.Info(x.called+" failed", "url", x.url(r.Key), "error", err)
			x.failed(m.c.o.Now(), cost)
		}
	}
	off, _ := p.Resume()
	has, err := x.copy(ctx, r, off)
	if errors.Is(err, errNotStored) {
		x.worked()
		return false, nil
	}
	if errors.Is(err, errLoop) {
		fail(err, maxRest) // as long as it is named
		return false, nil
	}
	if err != nil {
		fail(err, m.c.o.Now().Sub(start))
		return false, nil
	}
	defer has.Body.Close()
	x.worked()
	var confirmed *time.Time
	if !r.Want.Known() {
		if confirmed, err = m.confirm(ctx, has, r, p, w); !errors.Is(err, cache.ErrNotModified) {
			return true, err
		}
	}
	err = receive(has, x.head(has), p, confirmed)
	if has.From > 0 && errors.Is(err, cache.ErrWrongContent) && !promised(err) {
		// The first part may have been another version's; it has been dropped.
		return m.askNeighbour(ctx, x, r, p, w)
	}
	switch {
	case err == nil, errors.Is(err, cache.ErrUnstorable), promised(err):
		return true, err
	case timedOut(err):
		fail(err, m.c.o.Idle)
	default:
		m.c.o.Refused.Note(err)
		if errors.Is(err, cache.ErrWrongContent) && x.damaged != nil {
			x.damaged(r.Key)
		}
		fail(err, 0) // it is there
	}
	// What has come of it another can go on with, if there is a digest.
	return false, nil
}

// fitting is nil where what a neighbour has may be the file that r asks for, as far as
// that shows before its bytes; else it wraps errNotStored.
func fitting(has *Copy, r cache.Request) error {
	if !r.Want.Known() {
		if _, err := http.ParseTime(has.LastModified); err != nil || has.Size < 0 {
			return fmt.Errorf("upstream can't be asked whether it still has this one: %w", errNotStored)
		}
		return nil
	}
	if has.Size >= 0 && has.Size != r.Want.Size || has.SHA256 != "" && r.Want.Digest.Type() == "sha256" && has.SHA256 != r.Want.Digest {
		return fmt.Errorf("another version: %w", errNotStored)
	}
	return nil
}

// confirm asks upstream whether it still has the copy that a neighbour has, as if that
// were stored here. cache.ErrNotModified says to take it: because upstream says so, or
// because upstream can't say and the neighbour's copy is the best there is, which then
// is as old as it is there (confirmed; nil is new). With any other error, and with
// none, which says that upstream has sent the file, it is of no use.
func (m *Mirrors) confirm(ctx context.Context, has *Copy, r cache.Request, p *cache.Partial, w way) (confirmed *time.Time, err error) {
	stored := &cache.Facts{Size: has.Size, LastModified: has.LastModified}
	if stored.ModTime, err = http.ParseTime(stored.LastModified); err != nil {
		return nil, err
	}
	err = m.askMirrors(ctx, cache.Request{Key: r.Key, Stored: stored}, p, w)
	switch {
	case err == nil, errors.Is(err, cache.ErrNotModified), errors.Is(err, cache.ErrUnstorable), ctx.Err() != nil:
		return nil, err
	case errors.Is(err, fs.ErrNotExist) && !r.Held:
		return nil, err
	}
	return &has.Confirmed, cache.ErrNotModified
}

// receive takes in the body of what a neighbour has, of which h is noted.
func receive(has *Copy, h cache.Head, p *cache.Partial, confirmed *time.Time) error {
	if has.From > 0 {
		if err := p.Continue(-1); err != nil {
			return err
		}
		p.Describe(h)
	} else {
		if err := p.Begin(h); err != nil {
			return err
		}
		if confirmed != nil {
			p.Confirmed(*confirmed)
		}
	}
	err := take(has.Body, p)
	if err == nil {
		err = p.Complete()
	}
	if errors.Is(err, cache.ErrWrongContent) {
		p.Reject()
	}
	return err
}

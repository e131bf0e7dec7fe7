package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/visible"
	imsync "intelligentmirror/sync"
)

// newProgress shows a run's downloads: as bars where w is a terminal that can move its
// cursor, else as a plain line now and then. Neither has colours.
func newProgress(w io.Writer) imsync.Progress {
	if terminal(w, os.Getenv) != nil {
		return &bars{w: w}
	}
	return &lines{w: w, now: time.Now}
}

// ownBar is the size, in bytes, from which a download gets a bar of its own.
const ownBar = 4 << 20

// bars shows a bar for all and one for each larger download under way.
type bars struct {
	w     io.Writer
	p     *mpb.Progress
	total *mpb.Bar
	// finished notes that a package has come, n bytes after it was last looked at.
	finished func(n int64)
}

func (b *bars) Begin(items int, bytes int64) {
	if items == 0 {
		b.p = nil
		return
	}
	b.p = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(40))
	var mu sync.Mutex
	done := 0
	count := func(decor.Statistics) string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("%d/%d packages", done, items)
	}
	b.total = b.p.AddBar(bytes, mpb.BarPriority(1<<30),
		mpb.PrependDecorators(decor.Any(count, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.CountersKibiByte(" % .1f / % .1f"), decor.OnComplete(decor.AverageSpeed(decor.SizeB1024(0), " % .1f"), "")),
	)
	b.finished = func(n int64) {
		mu.Lock()
		done++
		mu.Unlock()
		b.total.IncrInt64(n)
	}
}

func (b *bars) Item(it imsync.Item) imsync.Track {
	t := &barTrack{b: b, size: it.Size}
	if it.Size >= ownBar {
		t.bar = b.p.AddBar(it.Size, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(visible.Text(it.Name, ""), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersKibiByte(" % .1f / % .1f")))
	}
	return t
}

func (b *bars) End() {
	if b.p == nil {
		return
	}
	b.total.SetTotal(-1, true)
	b.p.Wait()
}

type barTrack struct {
	b    *bars
	bar  *mpb.Bar
	size int64
	seen int64
}

func (t *barTrack) At(n int64) {
	n = min(n, t.size)
	t.b.total.IncrInt64(n - t.seen)
	t.seen = n
	if t.bar != nil && n < t.size {
		t.bar.SetCurrent(n)
	}
}

func (t *barTrack) Done(_ cache.Outcome, err error) {
	if err == nil {
		t.b.finished(t.size - t.seen)
	}
	if t.bar != nil {
		t.bar.Abort(true)
	}
}

// lineEvery is how often a plain line says how far the downloads are.
const lineEvery = 10 * time.Second

// lines prints a line every now and then.
type lines struct {
	w   io.Writer
	now func() time.Time

	mu           sync.Mutex
	items, done  int
	bytes, there int64
	last         time.Time
}

func (l *lines) Begin(items int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items, l.bytes, l.done, l.there, l.last = items, bytes, 0, 0, l.now()
	if items > 0 {
		fmt.Fprintf(l.w, "fetching %d packages, %s\n", items, size(bytes))
	}
}

func (l *lines) Item(it imsync.Item) imsync.Track { return &lineTrack{l: l, it: it} }

func (l *lines) End() {}

// add notes n more bytes.
func (l *lines) add(n int64) {
	l.there += n
	if l.now().Sub(l.last) >= lineEvery {
		l.last = l.now()
		fmt.Fprintf(l.w, "%d of %d packages, %s of %s\n", l.done, l.items, size(l.there), size(l.bytes))
	}
}

type lineTrack struct {
	l    *lines
	it   imsync.Item
	seen int64
}

func (t *lineTrack) At(n int64) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.l.add(n - t.seen)
	t.seen = n
}

func (t *lineTrack) Done(_ cache.Outcome, err error) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	if err == nil {
		t.l.done++
		t.l.add(t.it.Size - t.seen)
	}
}

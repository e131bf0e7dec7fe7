package sync

import (
	"context"
	"os"
	"time"

	"intelligentmirror/internal/cache"
)

// Progress is shown what a run does. Its methods are called by several
// goroutines at once.
type Progress interface {
	// Begin says how many items and bytes a round of downloads has.
	Begin(items int, bytes int64)
	// Item says that the download of an item begins.
	Item(Item) Track
	// End says that the round is over.
	End()
}

// Track is shown one item's download.
type Track interface {
	// At says how many bytes of the file are there.
	At(bytes int64)
	// Done says how it ended.
	Done(cache.Outcome, error)
}

// silent shows nothing.
type silent struct{}

func (silent) Begin(int, int64)          {}
func (silent) Item(Item) Track           { return silent{} }
func (silent) End()                      {}
func (silent) At(int64)                  {}
func (silent) Done(cache.Outcome, error) {}

// tracked is a Source whose downloads are shown as they grow.
type tracked struct {
	cache.Source
	track Track
}

// trackEvery is how often a growing file is looked at.
const trackEvery = 200 * time.Millisecond

// Fetch implements cache.Source.
func (t tracked) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	done := make(chan struct{})
	ended := make(chan struct{})
	path := p.Path()
	go func() {
		defer close(ended)
		tick := time.NewTicker(trackEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if fi, err := os.Stat(path); err == nil {
					t.track.At(fi.Size())
				}
			}
		}
	}()
	err := t.Source.Fetch(ctx, r, p)
	close(done)
	<-ended
	return err
}

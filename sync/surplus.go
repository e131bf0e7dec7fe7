package sync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// superfluous lists the stored packages that runs have brought and that are older
// than the last sync.keep versions which they have brought of the name and which are
// stored. The order in which they came tells which is older: a run brings what is the newest. One
// that a client came for within generation_keep is none of them: its metadata may be
// as old.
func (w *withdrawal) superfluous(ctx context.Context) (map[string]bool, error) {
	all, err := w.history.versions()
	if err != nil {
		return nil, err
	}
	keep := w.site.Config.Sync.Keep
	all = slices.DeleteFunc(all, func(list []prefetched) bool { return len(list) <= keep })
	if len(all) == 0 {
		return nil, nil
	}
	var uses map[string]time.Time // what other logs don't show
	if l := w.site.Ledger; l != nil {
		if uses, err = l.LastUses(ctx); err != nil {
			return nil, err
		}
	}
	since := w.now().Add(-time.Duration(w.site.Config.GenerationKeep))
	surplus := map[string]bool{}
	for _, list := range all {
		stored := slices.DeleteFunc(list, func(p prefetched) bool {
			repo, path, _ := strings.Cut(p.path, "/")
			return !w.site.Cache.Has(cache.Key{Repo: repo, Path: path})
		})
		for _, p := range stored[min(keep, len(stored)):] {
			// p.last is the beginning of a day.
			surplus[p.path] = p.last.Add(24*time.Hour).Before(since) && uses[p.path].Before(since)
		}
	}
	return surplus, nil
}

// discard deletes of s what is superfluous and listed by no metadata that is kept,
// no more at once than may be withdrawn: the rest goes with the next runs.
func (w *withdrawal) discard(s *stock) {
	var m mass
	s.candidates = slices.DeleteFunc(s.candidates, func(c candidate) bool {
		if !c.ahead || !w.surplus[c.key.String()] {
			return false
		}
		more := mass{files: m.files + 1, of: s.files, bytes: m.bytes + c.bytes, ofBytes: s.bytes}
		if more.tooMuch() {
			return false
		}
		freed, ok := c.bytes, true
		if !w.p.DryRun {
			var err error
			freed, ok, err = w.site.Cache.DeletePrefetched(c.key)
			w.fail(c.key.String(), err)
		}
		if ok {
			m = more
			w.p.remove(Removed{c.key.String(), freed, RuleKeep,
				fmt.Sprintf("prefetched; %d newer versions are stored (sync.keep), and no metadata that is kept lists it", w.site.Config.Sync.Keep)})
		}
		return ok
	})
}

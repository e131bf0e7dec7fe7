package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
)

const (
	// mostInquiries is how many files mirrors are asked about in one run, at most,
	// and inquiriesPerSecond how fast; inquiriesAtOnce is how many answers are
	// waited for at a time.
	mostInquiries      = 1000
	inquiriesPerSecond = 20
	inquiriesAtOnce    = 4
	// mostSilent is after how many files in a row of which no mirror could be asked a
	// repository is left for the next run.
	mostSilent = 5
	// tombstonesKept is how long a mirror may lag that would bring back what is deleted.
	tombstonesKept = 30 * 24 * time.Hour
	// metadataValid is how long ago upstream has to have said that a repository's
	// metadata is current for anything of that to be withdrawn.
	metadataValid = 48 * time.Hour
	// withinDay is the time in which what goes of a repository counts as at once. What
	// was noted further ahead than that, by a clock that was wrong, is not of this day.
	withinDay = 24 * time.Hour
)

// candidate is a stored file that no kept generation lists.
type candidate struct {
	key   cache.Key
	bytes int64
	ahead bool            // it was prefetched
	stone cache.Tombstone // of those that are due
}

// stock is what is stored of one repository.
type stock struct {
	name       string
	owners     []generation.Owner
	files      int
	bytes      int64
	candidates []candidate // without a tombstone
	due        []candidate // whose time is over
	// Of the last day, not confirmed by anybody.
	withdrawn, deleted int
}

// withdrawal is one pass of the rules RuleKeep and RuleWithdrawn.
type withdrawal struct {
	*Agent
	p         *Pruned
	confirmed []string
	failed    map[string]string // roots whose metadata could not be had, and why
	left      int               // inquiries
	pace      *rate.Limiter
	surplus   map[string]bool // see superfluous; by path
	fail      func(path string, err error)
}

// do deletes versions that are too many, finds what upstream has withdrawn, and
// deletes what was withdrawn long enough ago.
func (w *withdrawal) do(ctx context.Context) error {
	stocks, err := w.take(ctx)
	if err != nil {
		return err
	}
	if w.surplus, err = w.superfluous(ctx); err != nil {
		// Without knowing what clients use nothing is too much.
		w.fail(historyName, err)
	}
	for _, name := range w.confirmed {
		if stocks[name] == nil {
			w.fail(name, errors.New("nothing is stored of a repository of this name whose metadata is verified"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stocks)) {
		s := stocks[name]
		if len(s.candidates)+len(s.due) == 0 {
			continue
		}
		if why := w.unfit(s); why != "" {
			w.p.Left = append(w.p.Left, Left{name, why})
			continue
		}
		w.discard(s)
		if err := errors.Join(w.delete(ctx, s), w.withdraw(ctx, s)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// take looks through the store. Tombstones whose files are listed again, or whose
// time is over, it lifts.
func (w *withdrawal) take(ctx context.Context) (map[string]*stock, error) {
	stocks := map[string]*stock{}
	of := func(k cache.Key) *stock {
		name, owners := w.site.Generations.Owners(k)
		if name == "" {
			return nil
		}
		if stocks[name] == nil {
			stocks[name] = &stock{name: name, owners: owners}
		}
		return stocks[name]
	}
	buried := map[cache.Key]bool{}
	err := w.site.Cache.Tombstones(ctx, func(k cache.Key, t cache.Tombstone, bytes int64, stored bool) error {
		since := t.Withdrawn
		if t.Deleted.After(since) {
			since = t.Deleted
		}
		_, listed := w.site.Generations.Lookup(k)
		if listed || t.Withdrawn.IsZero() || !stored && w.now().Sub(since) >= tombstonesKept {
			if !w.p.DryRun {
				w.fail(k.String(), w.site.Cache.Lift(k))
			}
			return nil
		}
		buried[k] = true
		s := of(k)
		if s == nil {
			return nil // no metadata tells any more
		}
		if !t.Confirmed && w.now().Sub(t.Withdrawn).Abs() < withinDay {
			s.withdrawn++
		}
		if !t.Confirmed && !stored && w.now().Sub(t.Deleted).Abs() < withinDay {
			s.deleted++
		}
		if stored && w.now().Sub(t.Withdrawn) >= time.Duration(w.site.Config.GenerationKeep) {
			s.due = append(s.due, candidate{key: k, bytes: bytes, stone: t})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = w.site.Cache.Walk(ctx, func(k cache.Key, f cache.Facts) error {
		s := of(k)
		if s == nil {
			return nil
		}
		s.files++
		s.bytes += f.Size
		if _, listed := w.site.Generations.Lookup(k); !listed && !buried[k] {
			s.candidates = append(s.candidates, candidate{key: k, bytes: f.Size, ahead: !f.Prefetched.IsZero()})
		}
		return nil
	})
	return stocks, err
}

// unfit says why nothing of s may go now; "" where it may.
func (w *withdrawal) unfit(s *stock) string {
	for _, o := range s.owners {
		name := o.Root.String()
		if o.Held {
			return fmt.Sprintf("it is held at its metadata until `imsync release %s`", name)
		}
		if why, ok := w.failed[name]; ok {
			return "its metadata could not be had the last time: " + why
		}
		if !o.Current {
			return "its current metadata is not whole here"
		}
		var at time.Time
		if entry, _, err := w.site.Cache.Stored(w.site.Generations.Entry(o.Root)); err == nil {
			at = entry.Validated()
			entry.Close()
		}
		if age := w.now().Sub(at); age < 0 || age >= metadataValid {
			return "upstream has not been asked lately whether its metadata is current: `imsync once`, or a client, does"
		}
	}
	return ""
}

// guard notes that m of s is too much at once, unless somebody has confirmed it.
func (w *withdrawal) guard(s *stock, m mass, del bool) bool {
	m.of, m.ofBytes = s.files, s.bytes
	if !m.tooMuch() || slices.Contains(w.confirmed, s.name) {
		return false
	}
	w.p.Guarded = append(w.p.Guarded, Guarded{Root: s.name, Files: m.files, Of: m.of, Bytes: m.bytes, OfBytes: m.ofBytes, Delete: del})
	return true
}

// delete deletes what was withdrawn so long ago that nobody has it in mind any more
// and that is still gone.
func (w *withdrawal) delete(ctx context.Context, s *stock) error {
	m := mass{files: s.deleted}
	for _, c := range s.due {
		if !c.stone.Confirmed {
			m.files++
			m.bytes += c.bytes
		}
	}
	if w.guard(s, m, true) {
		return nil
	}
	gone, _, err := w.ask(ctx, s, s.due)
	for _, c := range gone {
		ok := true
		if !w.p.DryRun {
			var err error
			ok, err = w.site.Cache.Delete(c.key)
			w.fail(c.key.String(), err)
		}
		if ok {
			w.p.remove(Removed{c.key.String(), c.bytes, RuleWithdrawn,
				fmt.Sprintf("gone upstream since %s (%s), and listed by no metadata that is kept", c.stone.Withdrawn.UTC().Format(time.DateOnly), c.stone.Why)})
		}
	}
	return err
}

// withdraw gives tombstones to the files that upstream has withdrawn.
func (w *withdrawal) withdraw(ctx context.Context, s *stock) error {
	// All get their turn, whatever the first ones are.
	slices.SortFunc(s.candidates, func(a, b candidate) int { return cmp.Compare(w.turn(a.key), w.turn(b.key)) })
	gone, asked, err := w.ask(ctx, s, s.candidates)
	var m mass
	for _, c := range gone {
		m.files++
		m.bytes += c.bytes
	}
	m = m.estimate(asked, len(s.candidates))
	if m.files > 0 {
		m.files += s.withdrawn
		if w.guard(s, m, false) {
			return err
		}
	}
	confirmed := slices.Contains(w.confirmed, s.name)
	const why = "a run has found that"
	for _, c := range gone {
		ok := true
		if !w.p.DryRun {
			var err error
			ok, err = w.site.Cache.Withdraw(c.key, why, confirmed)
			w.fail(c.key.String(), err)
		}
		if ok {
			w.p.Withdrawn = append(w.p.Withdrawn, Removed{c.key.String(), c.bytes, RuleWithdrawn,
				fmt.Sprintf("gone upstream; it goes in generation_keep (%s) unless it is back", w.site.Config.GenerationKeep)})
		}
	}
	return err
}

// turn orders the files of a repository, another way each day.
func (w *withdrawal) turn(k cache.Key) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s", w.now().UTC().Format(time.DateOnly), k)
	return h.Sum64()
}

// ask asks upstream about the first of list, as many as there may be questions, and
// returns those that are gone, in their order. An error is ctx's.
func (w *withdrawal) ask(ctx context.Context, s *stock, list []candidate) (gone []candidate, asked int, err error) {
	list = list[:min(len(list), w.left)]
	w.left -= len(list)
	is := make([]bool, len(list))
	var mu sync.Mutex
	silent := 0
	var last error
	var g errgroup.Group
	g.SetLimit(inquiriesAtOnce)
	for i, c := range list {
		mu.Lock()
		enough := silent >= mostSilent
		mu.Unlock()
		if enough {
			break
		}
		if err := w.pace.Wait(ctx); err != nil {
			break
		}
		g.Go(func() error {
			err := w.site.Mirrors(c.key.Repo).Inquire(ctx, c.key)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ctx.Err() != nil:
			case err == nil, errors.Is(err, fs.ErrNotExist):
				silent = 0
				asked++
				is[i] = err != nil
			default:
				silent++
				last = err
			}
			return nil
		})
	}
	_ = g.Wait() // none returns any
	if silent >= mostSilent {
		w.p.Left = append(w.p.Left, Left{s.name, fmt.Sprintf("upstream can't be asked: %v", last)})
	}
	for i, c := range list {
		if is[i] {
			gone = append(gone, c)
		}
	}
	return gone, asked, ctx.Err()
}

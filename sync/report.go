package sync

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/popularity"
)

// Report is what a run did. Its JSON is the contract's. It is filled by several
// goroutines; once the run is over it does not change.
type Report struct {
	Started      time.Time     `json:"started"`
	Finished     time.Time     `json:"finished"`
	Roots        []*RootReport `json:"roots"`
	Fetched      int           `json:"fetched"`       // packages
	Bytes        int64         `json:"bytes"`         // that came from upstream, metadata included
	ResumedBytes int64         `json:"resumed_bytes"` // that an earlier run had left and did not come again
	Failures     int           `json:"failures"`

	// Of the packages that were prefetched within a year, before this run, the bytes
	// of those that a client came for, of those that none came for, and of those
	// that it is too early to tell of; see Worth.
	UsedBytes    int64 `json:"used_bytes"`
	WastedBytes  int64 `json:"wasted_bytes"`
	WaitingBytes int64 `json:"waiting_bytes"`
	// Sources has the same by the source that brought it, sorted by name.
	Sources []SourceWorth `json:"sources"`
	// Partial says that only roots whose metadata had changed were synced, between
	// two runs.
	Partial bool `json:"partial,omitempty"`
	// Unchanged says that nothing has changed since an earlier run that had nothing to
	// fetch, so that nothing was planned.
	Unchanged bool `json:"unchanged,omitempty"`
	// Stopped says why the run ended before all was fetched; "" if it did not.
	Stopped string `json:"stopped,omitempty"`

	// Withdrawn is the files that were found gone upstream, and that are not served
	// any more; Deleted those that went since they were found gone long enough ago, or
	// were too many versions of a name.
	Withdrawn []Removed `json:"withdrawn,omitempty"`
	Deleted   []Removed `json:"deleted,omitempty"`
	// Guarded is the repositories of which too much would have gone; each is one of
	// the failures.
	Guarded []Guarded `json:"guarded,omitempty"`

	// United is the files that were stored several times, and are once now.
	United cache.United `json:"united,omitzero"`
	// Verified is the part of the cache that was read back; nil where none was due. A
	// wrong file that could not be fetched again is one of the failures.
	Verified *ReadBack `json:"verified,omitempty"`

	// Group is what came of the counts of the group's other machines, in the order of
	// sync.group. None of it is one of the failures.
	Group []Exchanged `json:"group,omitempty"`

	Logs  popularity.Report `json:"-"`
	Plan  Result            `json:"-"`
	Room  int64             `json:"-"` // bytes that the cache had room for, where that is less than the budget; else -1
	Items []FetchedItem     `json:"-"` // in the order in which they came

	mu sync.Mutex
}

// RootReport is what a run did for one root.
type RootReport struct {
	Root    string    `json:"root"`
	Changed bool      `json:"changed"`
	Planned int       `json:"planned"` // packages
	Fetched int       `json:"fetched"` // packages
	Bytes   int64     `json:"bytes"`   // from upstream, metadata included
	Failed  []Failure `json:"failed"`
	Held    bool      `json:"held,omitempty"` // it stays at its generation: upstream was not asked
	// Untried says that the run ended before anything was known of its metadata.
	Untried bool `json:"untried,omitempty"`

	root  generation.Root
	entry string // the path of its repomd.xml or InRelease, by which a failure of the metadata is listed; see isMetadata
	out   bool   // its metadata can't be had: it is left out of this run
}

// Failure is what could not be fetched, and why.
type Failure struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

// FetchedItem is an item that a run brought into the cache.
type FetchedItem struct {
	Item
	Outcome cache.Outcome
}

func newReport(now time.Time) *Report {
	return &Report{Started: now, Roots: []*RootReport{}, Sources: []SourceWorth{}, Room: -1}
}

func (r *Report) finish(now time.Time) {
	r.Finished = now
	for _, root := range r.Roots {
		if root.Failed == nil {
			root.Failed = []Failure{}
		}
	}
}

// worth takes over what became of what was prefetched.
func (r *Report) worth(sources []SourceWorth) {
	all := total(sources)
	r.Sources, r.UsedBytes, r.WastedBytes, r.WaitingBytes = sources, all.Used, all.Wasted, all.Waiting
}

// sort puts the roots in order.
func (r *Report) sort() {
	slices.SortFunc(r.Roots, func(a, b *RootReport) int { return cmp.Compare(a.Root, b.Root) })
}

// of is the part of a root.
func (r *Report) of(root string) *RootReport {
	i := slices.IndexFunc(r.Roots, func(x *RootReport) bool { return x.Root == root })
	return r.Roots[i]
}

// metadata notes what was brought of a root's metadata.
func (r *Report) metadata(root *RootReport, s generation.Staged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	root.Changed = root.Changed || s.Changed
	root.Held = root.Held || s.Held
	root.Bytes += s.Fetched
	r.Bytes += s.Fetched
	r.ResumedBytes += s.Resumed
}

// planned counts the items of the plan with their roots.
func (r *Report) planned() {
	for _, it := range r.Plan.Items {
		r.of(it.Root).Planned++
	}
}

// fail notes a failure.
func (r *Report) fail(root, path string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.of(root)
	x.Failed = append(x.Failed, Failure{path, explain(err)})
	r.Failures++
}

// item notes how an item's download ended.
func (r *Report) item(it Item, out cache.Outcome, err error) {
	r.mu.Lock()
	root := r.of(it.Root)
	root.Bytes += out.Fetched
	r.Bytes += out.Fetched
	r.ResumedBytes += out.Resumed
	if err == nil && !out.Stored {
		root.Fetched++
		r.Fetched++
		r.Items = append(r.Items, FetchedItem{it, out})
	}
	r.mu.Unlock()
	if err != nil {
		r.fail(it.Root, it.Path, err)
	}
}

// pruned notes what was withdrawn and deleted.
func (r *Report) pruned(p *Pruned) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Withdrawn, r.Guarded = p.Withdrawn, p.Guarded
	for _, x := range p.Removed {
		if x.Rule == RuleWithdrawn || x.Rule == RuleKeep {
			r.Deleted = append(r.Deleted, x)
		}
	}
	r.Failures += len(p.Guarded)
}

// readBack notes what reading a part of the cache back has shown.
func (r *Report) readBack(v ReadBack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Verified = &v
	for _, w := range v.Wrong {
		if !w.Repaired {
			r.Failures++
		}
	}
}

// failedRoots puts into failed why the metadata of a root could not be had, and
// takes out of it the roots whose metadata was.
func (r *Report) failedRoots(failed map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, root := range r.Roots {
		delete(failed, root.Root)
		for _, f := range root.Failed {
			if root.isMetadata(f.Path) {
				failed[root.Root] = f.Error
			}
		}
	}
}

// isMetadata reports whether a failure at that path is one of all of the root's
// metadata: the path is of its repomd.xml or InRelease.
func (r *RootReport) isMetadata(path string) bool {
	repo, below, _ := strings.Cut(path, "/")
	root, ok := generation.RootOf(cache.Key{Repo: repo, Path: below})
	return ok && root.String() == r.Root
}

// explain adds to an error what a person should know of it.
func explain(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err.Error() + " (upstream does not have it; it is tried again at the next run)"
	case errors.Is(err, cache.ErrUnstorable):
		return err.Error() + " (make room in cache_dir)"
	}
	return err.Error()
}

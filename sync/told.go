package sync

import (
	"fmt"
	"slices"
	"time"

	"intelligentmirror/internal/repodata"
)

// faults is what a root's metadata describes badly, and what is left out for it.
type faults struct {
	root string
	all  []fault
}

// fault is so many of one kind.
type fault struct {
	says, what string
	n          int
	first      error
}

func (f *faults) add(says, what string, n int, first error) {
	f.all = append(f.all, fault{says, what, n, first})
}

// skipped adds what a parser has left out.
func (f *faults) skipped(what string, stats repodata.Stats) {
	if stats.Skipped > 0 {
		f.add(what+" that the metadata describes badly are left out", what, stats.Skipped, stats.Refused[0])
	}
}

// unusable adds those of all that are the root's.
func (f *faults) unusable(all []Refusal) {
	is := func(x Refusal) bool { return x.Root == f.root }
	i := slices.IndexFunc(all, is)
	if i < 0 {
		return
	}
	n := 0
	for _, x := range all[i:] {
		if is(x) {
			n++
		}
	}
	f.add("packages that can't be fetched as their metadata describes them are left out", "packages", n, fmt.Errorf("%q: %w", all[i].Location, all[i].Err))
}

// tell logs what is bad, once for each metadata: its publisher alone can mend it, and a
// line each night is read by nobody.
func (r *run) tell(bad *faults) {
	if len(bad.all) == 0 {
		return
	}
	news, err := r.history.tell(bad.root, r.staged[bad.root].Digest, r.now())
	if err != nil {
		r.log.Warn("what is said of metadata can't be remembered, and is said again", "error", err)
	} else if !news {
		return
	}
	for _, f := range bad.all {
		r.log.Warn(f.says, "root", bad.root, f.what, f.n, "first", f.first)
	}
}

// toldFor is how long it is remembered of which metadata of a root it was said.
const toldFor = 180 * 24 * time.Hour

// tell remembers that it is said what the root's metadata of that digest describes badly,
// and reports whether it was not said of it before.
func (h *history) tell(root, digest string, at time.Time) (news bool, err error) {
	if _, err := h.db.Exec(`DELETE FROM told WHERE at < ?`, at.Add(-toldFor).Unix()); err != nil {
		return false, err
	}
	done, err := h.db.Exec(`INSERT INTO told (root, digest, at) VALUES (?1, ?2, ?3)
		ON CONFLICT DO UPDATE SET digest = ?2, at = ?3 WHERE digest != ?2`, root, digest, at.Unix())
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

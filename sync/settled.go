package sync

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"intelligentmirror/internal/site"
)

// settledFor is how long a run may be spared the planning because nothing has
// changed: what moves by itself (streams that nobody uses any more, space that has
// become free) is looked at once a day all the same.
const settledFor = 20 * time.Hour

// state is all that a plan is made from, but for the time, as a digest: the
// configuration, the metadata of the roots, and what was counted of the logs. Which
// names rest comes of the latter and of what was fetched.
func (r *run) state() (string, error) {
	h := sha256.New()
	var text bytes.Buffer
	if err := r.site.Config.Write(&text); err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s\n%d\n%s\n", site.Version(), text.Len(), text.Bytes())
	for _, x := range r.report.Roots {
		if g := r.staged[x.Root].Generation; g != nil {
			fmt.Fprintf(h, "root %q %s\n", x.Root, g.Digest)
		}
	}
	for i := range r.ranks {
		// Scores fall with time, all of them alike.
		k := &r.ranks[i]
		fmt.Fprintf(h, "rank %q %q %q %d %d %d %d %d\n", k.Name, k.Arch, k.Root, k.Clients, k.ClientDays, k.Requests, k.Bytes, k.LastSeen.Unix())
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// unchanged reports whether an earlier run, of the last day, has found nothing to
// fetch in the very state that this one finds, and all that it wanted is still
// there: then there is nothing to plan either.
func (r *run) unchanged() bool {
	for _, x := range r.report.Roots {
		if s := r.staged[x.Root]; s.Generation == nil || s.Changed || s.Grown {
			return false
		}
	}
	state, err := r.state()
	at, same := time.Time{}, false
	if err == nil {
		at, same, err = r.history.settled(state)
	}
	if age := r.now().Sub(at); err == nil && same && age >= 0 && age < settledFor {
		same, err = r.site.Cache.HoldsWanted()
	} else {
		same = false
	}
	if err != nil {
		r.log.Warn("whether anything has changed since the last run is not known; all is planned anew", "error", err)
		return false
	}
	return same
}

// settle remembers the state of a run that has found nothing to fetch and has kept
// nothing back.
func (r *run) settle() {
	p := &r.report.Plan
	if r.report.Partial || r.report.Failures > 0 || len(p.Items)+len(p.Cut) > 0 || r.report.Room >= 0 {
		return
	}
	state, err := r.state()
	if err == nil {
		err = r.history.settle(state, r.now())
	}
	if err != nil {
		r.log.Warn("that there is nothing to fetch can't be remembered; the next run plans anew", "error", err)
	}
}

// settle remembers the state of a run that had nothing to fetch.
func (h *history) settle(state string, now time.Time) error {
	_, err := h.db.Exec(`INSERT OR REPLACE INTO settled (id, state, at) VALUES (1, ?, ?)`, state, now.Unix())
	return err
}

// settled says when a run had nothing to fetch in that state; ok is false if it is
// not the last one that was remembered.
func (h *history) settled(state string) (at time.Time, ok bool, err error) {
	var unix int64
	err = h.db.QueryRow(`SELECT at FROM settled WHERE state = ?`, state).Scan(&unix)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	return time.Unix(unix, 0), err == nil, err
}

package sync

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
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

// unchanged reports whether an earlier run, within settledFor, has found nothing to
// fetch in the very state that this one finds, and all that it wanted is still
// there: then there is nothing to plan either.
func (r *run) unchanged() bool {
	for _, x := range r.report.Roots {
		if s := r.staged[x.Root]; s.Generation == nil || s.Changed || s.Grown {
			return false
		}
	}
	state, err := r.state()
	var before *settled
	if err == nil {
		before, err = r.history.settled(state)
	}
	same := false
	if before != nil {
		if age := r.now().Sub(before.at); age >= 0 && age < settledFor {
			same, err = r.site.Cache.HoldsWanted()
		}
	}
	if err != nil {
		r.log.Warn("whether anything has changed since the last run is not known; all is planned anew", "error", err)
		return false
	}
	if same {
		r.report.worth(before.sources)
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
		err = r.history.settle(state, settled{r.now(), r.report.Sources})
	}
	if err != nil {
		r.log.Warn("that there is nothing to fetch can't be remembered; the next run plans anew", "error", err)
	}
}

// settled is a run that had nothing to fetch.
type settled struct {
	at      time.Time
	sources []SourceWorth // as its report has them
}

// settle remembers the state of a run that had nothing to fetch.
func (h *history) settle(state string, s settled) error {
	sources, err := json.Marshal(s.sources)
	if err != nil {
		return err
	}
	_, err = h.db.Exec(`INSERT OR REPLACE INTO settled (id, state, at, sources) VALUES (1, ?, ?, ?)`, state, s.at.Unix(), sources)
	return err
}

// settled is the last run that had nothing to fetch, nil if that was in another state or
// something was prefetched since.
func (h *history) settled(state string) (*settled, error) {
	var at int64
	var sources []byte
	err := h.db.QueryRow(`SELECT at, sources FROM settled WHERE state = ?`, state).Scan(&at, &sources)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &settled{at: time.Unix(at, 0)}
	return s, json.Unmarshal(sources, &s.sources)
}

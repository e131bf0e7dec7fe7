package sync

import (
	"encoding/json"
	"time"
)

// ReplicaStatus is what is remembered of a cache that is copied.
type ReplicaStatus struct {
	From        string         `json:"from"`
	Last        *ReplicaReport `json:"last"`            // null before the first; without the files that it deleted
	Ended       string         `json:"ended,omitempty"` // what ended the last one before its end
	LastSuccess time.Time      `json:"last_success"`    // when the last one began that came to its end without a failure; zero before it
	// NextRun is when the configuration has the next one, for `imsync run`; zero where
	// it has none.
	NextRun time.Time `json:"next_run"`
}

// Failed reports whether the last copy did less than it should.
func (s *ReplicaStatus) Failed() bool { return s.Last != nil && (s.Ended != "" || s.Last.Failures > 0) }

// replicated remembers a copy, and what ended it if it did not come to its end.
func (h *history) replicated(r *ReplicaReport, ended error) error {
	short := *r
	short.Deleted = []Removed{} // status tells how many are stored, not what went
	b, err := json.Marshal(&short)
	if err != nil {
		return err
	}
	why, success := "", int64(0)
	if ended != nil {
		why = ended.Error()
	} else if r.Failures == 0 && r.Stopped == "" {
		success = r.Started.Unix()
	}
	_, err = h.db.Exec(`INSERT INTO replica (source, error, report, success) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (source) DO UPDATE SET error = ?2, report = ?3, success = max(success, ?4)`, r.From, why, b, success)
	return err
}

// replicas is what is remembered of all caches that were copied.
func (h *history) replicas() ([]ReplicaStatus, error) {
	rows, err := h.db.Query(`SELECT source, error, report, success FROM replica ORDER BY source`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []ReplicaStatus{}
	for rows.Next() {
		var s ReplicaStatus
		var report []byte
		var success int64
		if err := rows.Scan(&s.From, &s.Ended, &report, &success); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(report, &s.Last); err != nil {
			return nil, err
		}
		if success != 0 {
			s.LastSuccess = time.Unix(success, 0)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// dropped remembers that m of the repository was deleted, since a cache that is
// copied has not got it any more.
func (h *history) dropped(repository string, m mass, at time.Time) error {
	_, err := h.db.Exec(`INSERT INTO dropped (repository, at, files, bytes) VALUES (?, ?, ?, ?)`, repository, at.Unix(), m.files, m.bytes)
	return err
}

// droppedSince is what was deleted so of the repository from a time on; what is older
// is forgotten.
func (h *history) droppedSince(repository string, since time.Time) (m mass, err error) {
	if _, err := h.db.Exec(`DELETE FROM dropped WHERE at < ?`, since.Unix()); err != nil {
		return m, err
	}
	err = h.db.QueryRow(`SELECT coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM dropped WHERE repository = ?`, repository).Scan(&m.files, &m.bytes)
	return m, err
}

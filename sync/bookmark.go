package sync

import (
	"database/sql"
	"encoding/json"
	"errors"
)

// bookmark is where the history has how far the cache is read back: by a person's
// commands and by the nights each.
type bookmark struct {
	db    *sql.DB
	table string
}

func (h *history) byHand() bookmark   { return bookmark{h.db, "verify"} }
func (h *history) byNights() bookmark { return bookmark{h.db, "verify_nightly"} }

// read takes up what is kept into r, if anything is.
func (p bookmark) read(r *VerifyReport) error {
	var after string
	var report []byte
	err := p.db.QueryRow("SELECT after, report FROM "+p.table).Scan(&after, &report)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(report, r); err != nil {
		return err
	}
	r.After, r.Resumed = after, true
	return nil
}

// keep writes down how far r is.
func (p bookmark) keep(r *VerifyReport) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = p.db.Exec("INSERT INTO "+p.table+" (id, after, report) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET after = ?1, report = ?2", r.After, b)
	return err
}

// forget lets the next begin with the first file.
func (p bookmark) forget() error {
	_, err := p.db.Exec("DELETE FROM " + p.table)
	return err
}

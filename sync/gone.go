package sync

import (
	"context"
	"fmt"
	"time"

	"intelligentmirror/popularity"
)

// leave remembers which names have left their repositories, in the place of what was
// remembered before.
func (h *history) leave(gone []popularity.Rank) error {
	tx, err := h.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if _, err := tx.Exec(`DELETE FROM gone`); err != nil {
		return err
	}
	for _, r := range gone {
		if _, err := tx.Exec(`INSERT OR IGNORE INTO gone (name, arch, root) VALUES (?, ?, ?)`, r.Name, r.Arch, r.Root); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// left are the names that have left their repositories.
func (h *history) left() (map[PackageName]bool, error) {
	rows, err := h.db.Query(`SELECT name, arch, root FROM gone`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[PackageName]bool{}
	for rows.Next() {
		var n PackageName
		if err := rows.Scan(&n.Name, &n.Arch, &n.Root); err != nil {
			return nil, err
		}
		all[n] = true
	}
	return all, rows.Err()
}

// Ranking is Rank without the names that have left their repositories, as the last
// run of all roots found; those that are left are numbered anew, as plans number them.
// It is the first most, all of them where that is 0; all is how many there are.
func (a *Agent) Ranking(ctx context.Context, most int) (ranks []popularity.Rank, all int, err error) {
	left, err := a.history.left()
	if err != nil {
		return nil, 0, fmt.Errorf("see which names are gone: %w", err)
	}
	return a.ranks.Top(ctx, time.Duration(a.site.Config.Sync.HalfLife), most, func(name, arch, root string) bool {
		return len(left) > 0 && left[PackageName{name, arch, root}]
	})
}

package sync

import (
	"context"
	"fmt"
	"slices"

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
// run of all roots found. Those that are left are numbered anew, as plans number them.
func (a *Agent) Ranking(ctx context.Context) ([]popularity.Rank, error) {
	ranks, err := a.Rank(ctx)
	if err != nil {
		return nil, err
	}
	left, err := a.history.left()
	if err != nil {
		return nil, fmt.Errorf("see which names are gone: %w", err)
	}
	if len(left) == 0 {
		return ranks, nil
	}
	ranks = slices.DeleteFunc(ranks, func(r popularity.Rank) bool { return left[PackageName{r.Name, r.Arch, r.Root}] })
	for i := range ranks {
		ranks[i].Rank = i + 1
	}
	return ranks, nil
}

package popularity

import (
	"context"
	"database/sql"
	"time"
)

// Asked returns the files that clients asked for, by their paths below the cache
// directory ("fedora/updates/41/..."), with the beginning of the last day, UTC,
// on which they did. It knows the days whose requests are kept one by one: each
// for a week and a day at least after its end, and after its lines were read.
func (s *Store) Asked(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := s.snapshot(ctx, func(conn *sql.Conn) error {
		days, err := column[int64](ctx, conn, "SELECT day FROM open_days ORDER BY day")
		if err != nil {
			return err
		}
		last := map[int64]int64{} // the day of a path's id
		for _, day := range days {
			err := eachClient(ctx, conn, day, func(_ uint64, list []asked, _ []uint64) error {
				for _, a := range list {
					last[a.path] = day
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return eachPath(ctx, conn, func(p storedPath) error {
			if day, ok := last[p.id]; ok {
				all[p.dir.path+"/"+p.base] = time.Unix(day*secondsPerDay, 0).UTC()
			}
			return nil
		})
	})
	if err != nil {
		return nil, s.explain("read", err)
	}
	return all, nil
}

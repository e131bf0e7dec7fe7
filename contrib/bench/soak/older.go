package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ageFiles makes what the cache remembers in files older by so many days: the directories
// of generations, which stay for a day after they were made, and tombstones, which stay
// for a month. What was changed within the last of the site's days may be under way, and
// is left alone.
func (s *site) ageFiles(days int) error {
	by := time.Duration(days) * 24 * time.Hour
	generations, err := filepath.Glob(s.cache + "/.im/gen/*/catalog")
	if err != nil {
		return err
	}
	for _, name := range generations {
		dir := filepath.Dir(name)
		fi, err := os.Stat(dir)
		if err != nil || time.Since(fi.ModTime()) < s.day {
			continue // gone meanwhile, or young
		}
		at := fi.ModTime().Add(-by)
		if err := os.Chtimes(dir, at, at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return filepath.WalkDir(s.cache+"/.im/tombstones", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		return ageTombstone(s.dir, name, by)
	})
}

// ageTombstone makes one older, as whoever writes one does it: by a rename from temp,
// which is on the same file system. One that is lifted meanwhile stays away.
func ageTombstone(temp, name string, by time.Duration) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stone := map[string]any{}
	if err := json.Unmarshal(b, &stone); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, key := range []string{"withdrawn", "deleted"} {
		text, ok := stone[key].(string)
		if !ok {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		stone[key] = at.Add(-by)
	}
	if b, err = json.Marshal(stone); err != nil {
		return err
	}
	next, err := os.CreateTemp(temp, "tombstone-*")
	if err != nil {
		return err
	}
	_, err = next.Write(b)
	err = errors.Join(err, next.Close())
	if err == nil {
		err = os.Rename(next.Name(), name)
	}
	if err != nil {
		gone := os.Remove(next.Name())
		if errors.Is(err, fs.ErrNotExist) {
			return gone
		}
		return errors.Join(err, gone)
	}
	return nil
}

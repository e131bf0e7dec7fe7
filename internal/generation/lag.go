package generation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/upstream"
)

// lapse is how long an older repomd.xml is refused while no mirror has the one
// that is held: by then the distribution has taken that one back.
const lapse = 24 * time.Hour

// lagFile is what .im/gen keeps of a root of which only older metadata is to be had.
type lagFile struct {
	Root  string    `json:"root"`
	Since time.Time `json:"since"`
}

const lagSuffix = ".lag"

// Vet implements upstream.Vetter: a repomd.xml must be one, and must not be older
// than the one in the tree, by the newest timestamp of the files that each of
// them lists. Their revision is no clock. Where either has no timestamp nothing
// is known of their order. The metalink's current one is taken whatever its age,
// and so is any after a day in which no mirror had the one that is held.
func (s *Store) Vet(k cache.Key, body []byte, current bool) error {
	next, err := repodata.ParseRepomd(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", cache.ErrWrongContent, err)
	}
	held, err := os.ReadFile(filepath.Join(s.tree, k.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	was, err := repodata.ParseRepomd(bytes.NewReader(held))
	if err != nil {
		s.log.Warn("the repomd.xml that is held can't be read; any other may follow it", "file", k.String(), "error", err)
		return nil
	}
	from, to := newest(was), newest(next)
	if from == 0 || to == 0 || to >= from {
		s.Confirm(k)
		return nil
	}
	log := s.log.With("file", k.String(), "held", utc(from), "offered", utc(to))
	if current {
		log.Warn("metadata goes back: the metalink says that the older repomd.xml is the current one")
		return nil
	}
	since, err := s.lagging(k)
	if err != nil {
		log.Warn("since when no mirror has the held metadata can't be remembered", "error", err)
	}
	if s.now().Sub(since) >= lapse {
		// Forgotten only when the older one is the one that is held: until then it
		// is asked for again.
		log.Warn("metadata goes back: no mirror has had the repomd.xml that is held for a day", "since", since)
		return nil
	}
	return fmt.Errorf("its metadata is of %s, the one that is held of %s: refused until a mirror has that, or %s: %w",
		utc(to), utc(from), since.Add(lapse).Format(time.RFC3339), upstream.ErrLags)
}

// Confirm implements upstream.Vetter: a mirror has the repomd.xml that is held.
func (s *Store) Confirm(k cache.Key) {
	if err := os.Remove(s.lagPath(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("that mirrors have the held metadata again can't be remembered", "file", k.String(), "error", err)
	}
}

// newest is the newest timestamp in m, in Unix seconds; 0 if there is none.
func newest(m *repodata.Repomd) (t int64) {
	for _, d := range m.Data {
		t = max(t, d.Timestamp)
	}
	return t
}

func utc(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// lagging is since when only older metadata than k is to be had. The first call
// remembers the time; where it can't be kept it is now.
func (s *Store) lagging(k cache.Key) (time.Time, error) {
	path, now := s.lagPath(k), s.now()
	var f lagFile
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	// What can't be read, or is in the future of a clock that was set back, begins anew.
	if err == nil && !f.Since.After(now) {
		return f.Since, nil
	}
	f = lagFile{Root: rootOf(k).String(), Since: now}
	if b, err = json.Marshal(f); err != nil {
		return now, err
	}
	return now, writeFile(path, b)
}

// lagPath is the file that remembers since when k's root goes back.
func (s *Store) lagPath(k cache.Key) string {
	return strings.TrimSuffix(s.rootPath(rootOf(k)), rootSuffix) + lagSuffix
}

// rootOf is the root whose repomd.xml is k.
func rootOf(k cache.Key) Root {
	return Root{Repo: k.Repo, Path: strings.Trim(strings.TrimSuffix(k.Path, "repodata/repomd.xml"), "/")}
}

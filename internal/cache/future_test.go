package cache_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A stored file whose time is years ahead, as a clock that was wrong leaves it, is taken
// for no newer than upstream's: what upstream has since takes its place.
func TestTimeInTheFuture(t *testing.T) {
	for name, at := range map[string]time.Duration{"ten years ahead": 10, "ten years back": -10} {
		t.Run(name, func(t *testing.T) {
			old, next := rpm(5000, 1), rpm(6000, 2)
			s := newSite(t, file(old, day0))
			c := s.open(nil)
			if _, _, err := get(c, pkg); err != nil {
				t.Fatal(err)
			}
			when := time.Unix(0, s.now.Load()).Add(at * 365 * 24 * time.Hour)
			if err := os.Chtimes(filepath.Join(s.dir, pkg.String()), when, when); err != nil {
				t.Fatal(err)
			}
			s.pass(25 * time.Hour)
			s.answer(file(next, day0.Add(time.Hour)))
			if got, _, err := get(c, pkg); err != nil || !bytes.Equal(got, next) {
				t.Errorf("%d bytes, %v; upstream has %d", len(got), err, len(next))
			}
			s.answer(http.NotFound)
			onDisk(t, s.dir, pkg, next)
		})
	}
}

package systest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// Databases that are noise stop neither program, and need no hand: they are set aside,
// and what they held but the past is there again.
func TestDamagedDatabases(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.log(specs)
	s.once()
	before := files(t, s.cached())
	names := []string{"cache/.im/cache.db", "state/popularity.db", "state/imsync.db"}
	noise := bytes.Repeat([]byte("no database, and not short either "), 1000)
	for _, name := range names {
		s.write(filepath.Join(s.dir, name), string(noise))
	}
	if got := s.once(); got.Fetched != 0 {
		t.Errorf("%d packages are fetched again", got.Fetched)
	}
	for _, name := range names {
		if b, err := os.ReadFile(filepath.Join(s.dir, name+".damaged")); err != nil || !bytes.Equal(b, noise) {
			t.Errorf("%s was not set aside: %v", name, err)
		}
	}
	if r := s.imsync("rank", "--json"); r.code != 0 || len(r.stdout) < 100 {
		t.Errorf("the ranking: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	server := s.serve()
	for name, sum := range before {
		if got := server.get("/" + rootName + "/" + name); digest(got) != sum {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	if code := server.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if diff := difference(before, files(t, s.cached())); diff != "" {
		t.Error(diff)
	}
}

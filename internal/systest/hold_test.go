package systest

import (
	"bytes"
	"net/http"
	"path"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// A root that imsync holds stays as it is for imserve's clients too: what upstream
// pushes meanwhile they don't see, and what they had they get, upstream or not.
func TestHoldForClients(t *testing.T) {
	s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"", "[sync]\npackages = [\"mplayer\"]\nroots = [\""+rootName+"\"]")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.once()
	server := s.serve()
	repomd := path.Join("/", rootName, "repodata/repomd.xml")
	before := server.get(repomd)
	if r := s.imsync("hold", rootName); r.code != 0 {
		t.Fatalf("hold: %d, %s", r.code, r.stderr)
	}
	// imserve looks for what imsync has changed once a second.
	s.await("a request that leaves upstream alone", func() bool {
		s.up.Forget()
		server.get(repomd)
		return s.up.Count("", "*") == 0
	})

	s.publish(testrepo.Overnight(specs, 1))
	s.up.Forget()
	if got := server.get(repomd); !bytes.Equal(got, before) {
		t.Error("a client got past what is held")
	}
	if got := s.once(); got.Fetched != 0 || got.Roots[0].Changed {
		t.Errorf("a run went past what is held: %+v", got)
	}
	if n := s.up.Count("", "*repomd.xml"); n != 0 {
		t.Errorf("upstream was asked for repomd.xml %d times", n)
	}
	if a, err := server.fetch(path.Join("/", rootName, location(t, specs, "mplayer"))); err != nil || a.status != http.StatusOK {
		t.Errorf("a package of it: %v, %v", a.status, err)
	}

	if r := s.imsync("release", rootName); r.code != 0 {
		t.Fatalf("release: %d, %s", r.code, r.stderr)
	}
	s.await("what upstream has now", func() bool { return !bytes.Equal(server.get(repomd), before) })
}

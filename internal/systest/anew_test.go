package systest

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestSignedAnew: upstream has packages signed or built anew under their names, and no
// client has asked for the metadata since. What comes is not what is promised: the
// client that met it is told so, or broken off, and who asks again gets the new one,
// since the metadata is looked at first.
func TestSignedAnew(t *testing.T) {
	t.Parallel()
	for _, spec := range []testrepo.Spec{
		{Name: "small", Version: "1", Release: "1", Size: 5000},
		{Name: "large", Version: "1", Release: "1", Size: 3 << 20},
	} {
		t.Run(spec.Name, func(t *testing.T) {
			s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"")
			s.publish([]testrepo.Spec{spec})
			server := s.serve()
			server.get("/" + rootName + "/repodata/repomd.xml")
			s.awaitGeneration()
			anew := spec
			anew.BuildTime = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
			s.publish([]testrepo.Spec{anew})
			want, err := os.ReadFile(filepath.Join(s.repo, spec.Location()))
			if err != nil {
				t.Fatal(err)
			}
			path := "/" + rootName + "/" + spec.Location()
			if a, err := server.fetch(path); err != nil || a.status == http.StatusOK && a.err == nil {
				t.Errorf("status %d, %d bytes that are not promised look whole, %v", a.status, len(a.body), err)
			}
			if got := server.get(path); !bytes.Equal(got, want) {
				t.Errorf("who asks again gets %d bytes, not what upstream has", len(got))
			}
		})
	}
}

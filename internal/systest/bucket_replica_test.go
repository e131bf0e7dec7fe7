package systest

import (
	"os"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestBucketReplica holds that a copy uploads what it has brought, where no imserve does,
// and one that finds nothing changed what the bucket did not take the time before.
func TestBucketReplica(t *testing.T) {
	b := testrepo.StartBucket(t)
	specs := things(4)[1:]
	s := newSite(t, "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	s.publish(specs)
	s.once()
	m := s.serve()
	r := replica(t, s, m.url, "")
	r.share(b, b.Endpoint)
	missing := func() (list []string) {
		for _, spec := range specs {
			object := b.File("mirror/" + rootName + "/" + spec.Location())
			if got, err := os.ReadFile(object); err != nil || digest(got) != s.stock()[rootName+"/"+spec.Location()] {
				list = append(list, spec.Name)
			}
		}
		return list
	}
	b.Kill()
	if got := r.copies(); got.Fetched < len(specs) {
		t.Errorf("%d files were copied while the bucket was away, want %d", got.Fetched, len(specs))
	}
	b.Start()
	if got := missing(); len(got) != len(specs) {
		t.Fatalf("the bucket lacks %q alone", got)
	}
	if got := r.copies(); !got.Unchanged {
		t.Errorf("the second copy found something changed: %+v", got)
	}
	if got := missing(); len(got) != 0 {
		t.Errorf("after a copy in which nothing had changed the bucket lacks %q", got)
	}

	put(s, "late.rpm", 3000)
	m.get("/fedora/late.rpm")
	s.awaitFile("/fedora/late.rpm")
	r.copies()
	if _, err := os.Stat(b.File("mirror/fedora/late.rpm")); err != nil {
		t.Errorf("after a copy of one more file: %v", err)
	}
}

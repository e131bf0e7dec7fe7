package systest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestKeptBackIsTold: while a mirror has new metadata by halves clients keep the old,
// and the log, the metrics and the status page say so, and stop to when it is whole.
func TestKeptBackIsTold(t *testing.T) {
	s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"")
	spec := testrepo.Spec{Name: "bash", Version: "1", Release: "1", Size: 2000}
	s.publish([]testrepo.Spec{spec})
	server := s.serve()
	const entry = "/" + rootName + "/repodata/repomd.xml"
	first := server.get(entry)
	// The one in the background has to be over before the next can be told from it.
	s.awaitGeneration()
	told := func() map[string]bool {
		return map[string]bool{
			"the log":         strings.Contains(server.stderr.String(), "new metadata is not whole: what was current stays"),
			"the metrics":     strings.Contains(server.page("metrics"), "\nimserve_metadata_kept_back 1\n"),
			"status.json":     strings.Contains(server.page("status.json"), `"root": "`+rootName+`"`) && !strings.Contains(server.page("status.json"), `"metadata_kept_back": []`),
			"the status page": strings.Contains(server.page(""), "New metadata of "+rootName+" is kept back"),
		}
	}
	for where, says := range told() {
		if says {
			t.Errorf("%s speaks of trouble where there is none", where)
		}
	}
	spec.Version = "2"
	s.publish([]testrepo.Spec{spec})
	primaries, err := filepath.Glob(s.repo + "/repodata/*primary.xml*")
	if err != nil || len(primaries) == 0 {
		t.Fatalf("%q, %v", primaries, err)
	}
	body, err := os.ReadFile(primaries[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(primaries[0]); err != nil {
		t.Fatal(err)
	}
	got, err := server.fetch(entry)
	if err != nil || string(got.body) != string(first) {
		t.Errorf("half of the new metadata: status %d, %d bytes, %v", got.status, len(got.body), err)
	}
	// The log is written when the client has its answer.
	s.await("the log's word", func() bool { return told()["the log"] })
	for where, says := range told() {
		if !says {
			t.Errorf("%s does not say that new metadata is kept back", where)
		}
	}
	if err := s.up.Put(strings.TrimPrefix(primaries[0], s.tree), body); err != nil {
		t.Fatal(err)
	}
	s.await("the new metadata, which is whole", func() bool { return string(server.get(entry)) != string(first) })
	for where, says := range told() {
		if says && where != "the log" {
			t.Errorf("%s still says that new metadata is kept back", where)
		}
	}
}

package serve

import (
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestOneMirrorOfTwoSaysGone: one mirror's 404 deletes nothing while another is
// out of reach.
func TestOneMirrorOfTwoSaysGone(t *testing.T) {
	other := testrepo.Start(t, t.TempDir())
	m := newMirror(t, setup{bases: []string{other.URL + "/r"}})
	m.put(pkg, rpm(5000, 1))
	m.prime(pkg)
	m.pass(2 * time.Hour)
	m.up.Stop() // the first is out of reach, the second has not got it
	r := m.get(pkg)
	if r.StatusCode != 200 || m.stored(pkg) == nil {
		t.Error("one mirror's 404 deleted the stored copy")
	}
}

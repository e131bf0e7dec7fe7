package generation

import (
	"testing"
	"time"
)

// TestLongestWait: a client waits for new metadata for 10 s at the most, where nobody
// says otherwise: dnf and apt leave after 30 s of silence.
func TestLongestWait(t *testing.T) {
	f := NewRefresher(RefresherOptions{})
	defer f.Close()
	if f.o.Patience != 10*time.Second {
		t.Errorf("it waits for %s", f.o.Patience)
	}
}

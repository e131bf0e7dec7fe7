package upstream

import (
	"testing"
	"time"
)

// TestTimes: what a client waits for has the times of the design, where nobody says
// otherwise: one that gives up after 30 s of silence still gets the second mirror's
// answer where the first one says nothing.
func TestTimes(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	for _, tt := range []struct {
		name      string
		got, want time.Duration
	}{
		{"to connect", c.o.Connect, 5 * time.Second},
		{"to an answer's header", c.o.Header, 10 * time.Second},
		{"without progress", c.o.Idle, 10 * time.Second},
		{"for a sibling", c.o.Sibling, 2 * time.Second},
		{"for 100 (Continue)", c.o.Continue, 3 * time.Second},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	const silence = 30 * time.Second // after which dnf and apt leave
	if long := c.o.Connect + 2*c.o.Header; long >= silence || patience >= silence {
		t.Errorf("a second mirror's answer may take %s, and others are tried for %s", long, patience)
	}
}

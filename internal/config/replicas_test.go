package config

import (
	"slices"
	"testing"
)

// TestReplicas holds that what a [[replicate]] leaves out is as [sync] has it, and
// that the others are asked before a repository's upstreams unless they are not to be.
func TestReplicas(t *testing.T) {
	c, err := fromText("[sync]\nrate = '2MiB/s'\nparallel = 5\n" + replicaText)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, from string
		want       Replica
	}{
		{"as the file has it", "http://m1:3180", Replica{From: "http://m1:3180", Upstream: true, Schedule: "@hourly", Rate: 1 << 20, Parallel: 5}},
		{"with a slash", "https://m2/", Replica{From: "https://m2", Rate: 2 << 20, Window: Window{20 * 60, 22 * 60}, Parallel: 3}},
		{"that the file does not know", "http://m3", Replica{From: "http://m3", Rate: 2 << 20, Parallel: 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := c.Replica(test.from); err != nil || got != test.want {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	if _, err := c.Replica("m1:3180"); err == nil {
		t.Error("an address that is no URL is taken")
	}
	if got := c.Origins("fedora"); !slices.Equal(got, []string{"http://m1:3180/fedora"}) {
		t.Errorf("asked before the upstreams: %q", got)
	}
}

package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestBucketEvicted holds that a disk which is smaller than what the site uses is a first
// level: what was evicted comes back out of the bucket, and upstream is asked for a file
// once.
func TestBucketEvicted(t *testing.T) {
	const room, size, count = 6 << 20, 1 << 20, 12
	b := testrepo.StartBucket(t)
	up := newSite(t)
	specs := make([]testrepo.Spec, count)
	for i := range specs {
		specs[i] = testrepo.Spec{Name: fmt.Sprintf("thing%d", i), Version: "1", Release: "1", Size: size}
	}
	up.publish(specs)
	n := &node{at: up.another(t), addr: freeAddress(t, "127.0.0.34")}
	n.at.share(b, b.Endpoint)
	text, err := os.ReadFile(n.at.config)
	if err != nil {
		t.Fatal(err)
	}
	n.at.write(n.at.config, fmt.Sprintf("cache_size = %d\n%s", room, text))
	n.start()
	n.run.get("/" + rootName + "/repodata/repomd.xml")
	want := map[string]string{}
	for _, spec := range specs {
		path := "/" + rootName + "/" + spec.Location()
		want[path] = digest(n.run.get(path))
		n.awaitUploads(b, path) // before it goes
	}
	// It is accounted some seconds after.
	n.at.await("half of the files to be evicted", func() bool {
		var status struct {
			Cache struct {
				Evicted int `json:"evicted_24h"`
			}
		}
		if err := json.Unmarshal(n.run.get("/-/status.json"), &status); err != nil {
			t.Fatal(err)
		}
		return status.Cache.Evicted >= count/2
	})

	up.up.Forget()
	came := 0
	for path, sum := range want {
		a, err := n.run.fetch(path)
		if err != nil || a.err != nil || digest(a.body) != sum {
			t.Fatalf("%s: %v, %v, status %d, %d bytes", path, err, a.err, a.status, len(a.body))
		}
		if strings.HasSuffix(a.header.Get("Cache-Status"), "; detail=bucket") {
			came++
		}
	}
	if came < count/2 {
		t.Errorf("%d files came out of the bucket", came)
	}
	if lines := up.up.Lines("", "*.rpm"); len(lines) > 0 {
		t.Errorf("upstream was asked again: %q", lines)
	}
}

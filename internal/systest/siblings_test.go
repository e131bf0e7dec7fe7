package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// things are n packages; the first is large enough to be sent while it arrives.
func things(n int) []testrepo.Spec {
	specs := make([]testrepo.Spec, n)
	for i := range specs {
		specs[i] = testrepo.Spec{Name: fmt.Sprintf("thing%d", i), Version: "1", Release: "1", Size: 20_000}
	}
	specs[0].Size = 2 << 20
	return specs
}

// TestSiblings holds that a machine which is new in a group takes what it lacks from
// another, metadata and packages, and asks upstream for what changes alone; that two
// which name each other, and themselves, send no request round; and that nobody's
// request counts twice.
func TestSiblings(t *testing.T) {
	up := newSite(t).underRace()
	specs := things(8)
	up.publish(specs)
	var nodes [2]*node
	var urls []string
	for i := range nodes {
		nodes[i] = &node{addr: freeAddress(t, fmt.Sprintf("127.0.0.%d", 21+i))}
		urls = append(urls, fmt.Sprintf("%q", "http://"+nodes[i].addr))
	}
	for _, n := range nodes {
		n.at = up.another(t, "[serve]\nsiblings = ["+strings.Join(urls, ", ")+"]")
		n.start()
	}
	old, fresh := nodes[0].run, nodes[1].run

	// What nobody has is asked for at upstream, once.
	repomd := "/" + rootName + "/repodata/repomd.xml"
	old.get(repomd)
	want := map[string][]byte{}
	for _, spec := range specs {
		path := "/" + rootName + "/" + spec.Location()
		want[path] = old.get(path)
		nodes[0].at.awaitFile(path)
	}
	nodes[0].at.awaitGeneration()
	for path, n := range asked(up) {
		if n != 1 {
			t.Errorf("upstream was asked %d times for %s", n, path)
		}
	}

	// The new one asks upstream for repomd.xml, and for nothing else.
	up.up.Forget()
	fresh.get(repomd)
	for path, body := range want {
		a, err := fresh.fetch(path)
		if err != nil || a.err != nil || string(a.body) != string(body) {
			t.Fatalf("%s: %v, %v, status %d", path, err, a.err, a.status)
		}
		if status := a.header.Get("Cache-Status"); status != "imserve; fwd=uri-miss; stored; detail=sibling" {
			t.Errorf("%s: %s", path, status)
		}
		nodes[1].at.awaitFile(path)
	}
	for path, n := range asked(up) {
		if path != upstreamBase+strings.TrimPrefix(repomd, "/fedora") || n != 1 {
			t.Errorf("upstream was asked %d times for %s", n, path)
		}
	}
	for path, body := range want {
		if a, err := fresh.fetch(path); err != nil || a.header.Get("Cache-Status") != "imserve; hit" || string(a.body) != string(body) {
			t.Errorf("%s, once it is here: %v, %s", path, err, a.header.Get("Cache-Status"))
		}
	}

	// With the sibling gone, upstream is as good.
	if code := old.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	put(up, "late.rpm", 5000)
	if body := fresh.get("/fedora/late.rpm"); len(body) != 5000 {
		t.Errorf("%d bytes of a file that nobody had", len(body))
	}

	// What siblings asked the first one for is in its log and in no count.
	log, err := os.ReadFile(filepath.Join(nodes[0].at.dir, "state", "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), `"imserve/`); n < len(specs) {
		t.Errorf("%d lines of the other imserve, want %d at least:\n%s", n, len(specs), log)
	}
	var status struct {
		Start struct {
			Outcomes map[string]int64 `json:"outcomes"`
		} `json:"since_start"`
	}
	if err := json.Unmarshal(fresh.get("/-/status.json"), &status); err != nil {
		t.Fatal(err)
	}
	outcomes := status.Start.Outcomes
	if n := outcomes["sibling"]; n < int64(len(specs)) {
		t.Errorf("%d requests are counted as siblings', want %d at least: %v", n, len(specs), outcomes)
	}
	if n := outcomes["hit"]; n != int64(len(specs)) {
		t.Errorf("%d hits, want %d: %v", n, len(specs), outcomes)
	}
	var ranks []struct{ Requests int }
	nodes[0].at.decode(nodes[0].at.imsync("rank", "--json"), &ranks)
	if len(ranks) != len(specs) {
		t.Errorf("%d names are ranked, want %d", len(ranks), len(specs))
	}
	for _, r := range ranks {
		if r.Requests != 1 {
			t.Errorf("%d requests for a package that one client asked for once", r.Requests)
		}
	}
}

// asked is how often upstream was asked for what.
func asked(at *site) map[string]int {
	n := map[string]int{}
	for _, r := range at.up.Requests() {
		n[r.Path]++
	}
	return n
}

package systest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// haproxy starts HAProxy in front of the group and returns its socket for commands.
func (g *group) haproxy() (socket string) {
	g.t.Helper()
	return g.haproxyOf(nodes)
}

// haproxyOf starts HAProxy in front of the first n nodes alone.
func (g *group) haproxyOf(n int) (socket string) {
	g.t.Helper()
	socket = fmt.Sprintf("%s/admin%d.sock", g.up.dir, n)
	replace := map[string]string{
		"bind :3180": "bind FRONT", "/run/haproxy/admin.sock": socket, "log /dev/log local0": "log stdout format raw local0",
		"\tuser haproxy\n": "", "\tgroup haproxy\n": "",
	}
	for i, node := range g.nodes {
		line := fmt.Sprintf("server imserve%d %s", i+1, node.addr)
		if i >= n {
			line = "# " + line
		}
		replace[fmt.Sprintf("server imserve%d 192.0.2.%d:3180", i+1, 11+i)] = line
	}
	g.balance("haproxy", "haproxy.cfg", replace, "-db", "-f")
	return socket
}

// command has HAProxy do something, and returns what it says.
func (g *group) command(socket, line string) string {
	g.t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		g.t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

// awaitState waits until HAProxy holds node i for what status says.
func (g *group) awaitState(socket string, i int, status string) {
	g.t.Helper()
	name := fmt.Sprintf("imserve,imserve%d,", i+1)
	g.up.await(name+status, func() bool {
		for line := range strings.Lines(g.command(socket, "show stat")) {
			if f := strings.Split(line, ","); strings.HasPrefix(line, name) && len(f) > 17 {
				return f[17] == status
			}
		}
		return false
	})
}

// TestGroupGrows holds that a third node, which comes to two, takes over its share of
// the files and no more, has it from the two, and not from upstream, and that nothing
// moves between them.
func TestGroupGrows(t *testing.T) {
	const clients, count = 5, 300
	g := newGroup(t)
	paths := g.publish(count)
	divided := func(client int) []string { return share(paths, client, clients) }
	g.haproxyOf(nodes - 1)
	g.none(g.pass(clients, divided))
	if got := g.downloads(); len(got) != count || !once(got) {
		t.Errorf("upstream sent %d files to two nodes, want each of %d once", len(got), count)
	}
	before := g.awaitStored(count)
	if len(before[0])+len(before[1]) != count || len(before[2]) != 0 {
		t.Fatalf("two nodes have %d and %d files, the third %d", len(before[0]), len(before[1]), len(before[2]))
	}

	g.haproxyOf(nodes)
	g.none(g.pass(clients, divided))
	if got := g.downloads(); len(got) > 0 {
		t.Errorf("the third node's share costs upstream %d files: %.200q", len(got), got)
	}
	// Nothing new on the two; each of the third's files was one of theirs.
	after := g.awaitStored(count + len(g.nodes[2].packages()))
	for i := range 2 {
		if !slices.Equal(slices.Sorted(slices.Values(before[i])), slices.Sorted(slices.Values(after[i]))) {
			t.Errorf("node %d has other files than before", i+1)
		}
	}
	moved := len(after[2])
	t.Logf("of %d files %d are the third node's now", count, moved)
	if moved < count/6 || moved > count/2 {
		t.Errorf("%d of %d files have moved to the third node, want about a third", moved, count)
	}
	for _, i := range []int{0, 1} {
		left := 0
		for _, path := range before[i] {
			if slices.Contains(after[2], path) {
				left++
			}
		}
		if left == 0 {
			t.Errorf("node %d keeps all of its share", i+1)
		}
	}
}

// TestGroup holds what a group of three behind HAProxy is for: each file is stored and
// downloaded once, a node that is lost, drained or back moves its own share, and no
// client sees it.
func TestGroup(t *testing.T) {
	const clients, count = 5, 1000
	g := newGroup(t)
	paths := g.publish(count)
	socket := g.haproxy()

	// Clients ask for what others ask for at the same moment, or have.
	g.none(g.pass(clients, func(client int) []string {
		mine := slices.Concat(paths, paths)[count*client/clients:][:count/2]
		r := rand.New(rand.NewPCG(1, uint64(client)))
		r.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		return mine
	}))
	if got := g.downloads(); len(got) != count || !once(got) {
		t.Errorf("upstream sent %d files, want each of %d once", len(got), count)
	}
	var all []string
	least, shares := 0, g.awaitStored(count)
	for i := range shares {
		all = append(all, shares[i]...)
		if len(shares[i]) < count/5 {
			t.Errorf("node %d has %d of %d files", i+1, len(shares[i]), count)
		}
		if len(shares[i]) < len(shares[least]) {
			least = i
		}
	}
	if slices.Sort(all); len(all) != count || !once(all) {
		t.Errorf("%d files are stored, want each of %d once", len(all), count)
	}
	g.seen(clients)
	divided := func(client int) []string { return share(paths, client, clients) }
	some := func(client int) []string { return share(paths[:count/4], client, clients) }

	// As a proxy's client names a package, by whatever mirror, it is the same node's.
	c := g.proxied()
	defer c.CloseIdleConnections()
	for _, path := range paths[:20] {
		resp, err := ask(t.Context(), c, "http://dl.fedoraproject.org"+upstreamBase+"/"+path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if status := resp.Header.Get("Cache-Status"); status != "imserve; hit" {
			t.Errorf("by way of the proxy: %s, %q", resp.Status, status)
		}
	}

	// One is killed under load.
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var underLoad [clients][]failure
	var begun sync.WaitGroup
	begun.Add(clients)
	for i := range clients {
		load.Go(func() {
			c := newClient(i)
			defer c.CloseIdleConnections()
			r := rand.New(rand.NewPCG(2, uint64(i)))
			for n := 0; ctx.Err() == nil; n++ {
				path, began := paths[r.IntN(count)], time.Now()
				if err := fetchPackage(c, g.front, path); err != nil {
					underLoad[i] = append(underLoad[i], failure{path, began, err})
				}
				if n == 10 {
					begun.Done()
				}
			}
		})
	}
	begun.Wait()
	g.nodes[least].run.kill()
	g.awaitState(socket, least, "DOWN")
	noticed := time.Now()
	g.none(g.pass(clients, divided))
	stop()
	load.Wait()
	early := 0
	for _, list := range underLoad {
		for _, f := range list {
			if f.began.After(noticed) {
				g.none([]failure{f})
			} else {
				early++
			}
		}
	}
	t.Logf("node %d was lost; it had %d of %d files; %d requests failed before that was noticed", least+1, len(shares[least]), count, early)
	moved := g.downloads()
	if len(moved) > count/3 || !once(moved) {
		t.Errorf("upstream sent %d files again, want at most a third of %d, each once", len(moved), count)
	}
	for _, path := range moved {
		if !slices.Contains(shares[least], path) {
			t.Errorf("%s was not on the node that is lost, and has moved", path)
		}
	}

	// It comes back, with its files.
	g.nodes[least].start()
	g.awaitState(socket, least, "UP")
	g.none(g.pass(clients, some))
	if got := g.up.up.Lines("", "*.rpm"); len(got) > 0 {
		t.Errorf("a node that is back with its files costs upstream %d requests: %.200q", len(got), got)
	}

	// Another is drained: the others have its files from it, or from their own store.
	drained := (least + 1) % nodes
	if out := g.command(socket, fmt.Sprintf("set server imserve/imserve%d state drain", drained+1)); strings.TrimSpace(out) != "" {
		t.Fatal(out)
	}
	g.awaitState(socket, drained, "DRAIN")
	before := g.nodes[drained].settled()
	g.none(g.pass(clients, divided))
	if got := g.downloads(); len(got) > 0 {
		t.Errorf("upstream sent %d files anew: %.200q", len(got), got)
	}
	if n := len(g.nodes[drained].lines()) - before; n > 0 {
		t.Errorf("a node that is drained got %d requests", n)
	}
	if out := g.command(socket, fmt.Sprintf("set server imserve/imserve%d state ready", drained+1)); strings.TrimSpace(out) != "" {
		t.Fatal(out)
	}
	g.awaitState(socket, drained, "UP")
	g.none(g.pass(clients, some))
	if got := g.up.up.Lines("", "*.rpm"); len(got) > 0 {
		t.Errorf("after it, upstream was asked %d times: %.200q", len(got), got)
	}
	g.together()
}

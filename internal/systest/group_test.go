package systest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// node is one imserve of a group, on an address of its own.
type node struct {
	at   *site
	addr string
	run  *server
}

// start starts the node's imserve, which may have been killed before.
func (n *node) start() {
	n.at.t.Helper()
	n.run = n.at.serve("--listen", n.addr)
}

// settled is how many lines of clients the node's access log has, when all have been
// written that came before this: a client that asks past the load balancer comes last.
func (n *node) settled() (lines int) {
	n.at.t.Helper()
	const last = 200
	if err := fetchPackage(newClient(last), "http://"+n.addr, n.packages()[0]); err != nil {
		n.at.t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.1.%d ", last+1)
	n.at.await("the last client in the log", func() bool {
		all := n.lines()
		lines = len(all)
		return slices.ContainsFunc(all, func(line string) bool { return strings.HasPrefix(line, address) })
	})
	return lines
}

// packages are the package files that the node has stored, by their paths in the repository.
func (n *node) packages() []string {
	n.at.t.Helper()
	dir := filepath.Join(n.at.dir, "cache", "fedora")
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	var list []string
	for name := range files(n.at.t, dir) {
		if strings.HasSuffix(name, ".rpm") {
			list = append(list, name)
		}
	}
	return list
}

// awaitStored waits until n packages are stored in the group, and returns each node's:
// a client may have the last byte of a file before it has its name.
func (g *group) awaitStored(n int) (lists [nodes][]string) {
	g.t.Helper()
	g.up.await(fmt.Sprintf("%d stored files", n), func() bool {
		sum := 0
		for i, x := range g.nodes {
			lists[i] = x.packages()
			sum += len(lists[i])
		}
		return sum >= n
	})
	return lists
}

// lines are the lines of the node's access log that are of clients, and not of other
// nodes or the load balancer's checks.
func (n *node) lines() []string {
	b, err := os.ReadFile(n.at.dir + "/state/access.log")
	if err != nil {
		n.at.t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, `"client/`) {
			list = append(list, line)
		}
	}
	return list
}

// group is several imserve of one upstream behind a load balancer.
type group struct {
	t     testing.TB
	up    *site // whose upstream is all nodes'
	nodes []*node
	front string // the load balancer's URL
}

// nodes is how many there are: more than a person would run on one machine, and as
// many as contrib's configurations have.
const nodes = 3

// newGroup starts the nodes, each of which has all for siblings.
func newGroup(t testing.TB) *group {
	t.Helper()
	g := &group{t: t, up: newSite(t)}
	var urls []string
	for i := range nodes {
		addr := freeAddress(t, fmt.Sprintf("127.0.0.%d", 11+i))
		g.nodes = append(g.nodes, &node{addr: addr})
		urls = append(urls, fmt.Sprintf("%q", "http://"+addr))
	}
	for _, n := range g.nodes {
		n.at = g.up.another(t, "[serve]\ntrusted_proxies = [\"127.0.0.1\"]\nsiblings = ["+strings.Join(urls, ", ")+"]")
		n.start()
	}
	return g
}

// freeAddress is a port of host on which nobody listens.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// balance starts a load balancer by contrib's configuration of that name, in which
// each of the texts of replace stands once, and waits until it answers.
func (g *group) balance(program, name string, replace map[string]string, args ...string) *process {
	g.t.Helper()
	path := testrepo.Program(g.t, program)
	text, err := os.ReadFile(filepath.Join("..", "..", "contrib", "haproxy", name))
	if err != nil {
		g.t.Fatal(err)
	}
	front := freeAddress(g.t, "127.0.0.10")
	g.front = "http://" + front
	config := string(text)
	for old, with := range replace {
		if strings.Count(config, old) != 1 {
			g.t.Fatalf("%q does not stand once in %s", old, name)
		}
		config = strings.Replace(config, old, strings.ReplaceAll(with, "FRONT", front), 1)
	}
	file := filepath.Join(g.up.dir, name)
	g.up.write(file, config)
	p := launch(g.t, program, exec.Command(path, append(args, file)...))
	g.up.await(program+" to answer", func() bool {
		if !p.running() {
			g.t.Fatalf("%s does not run: %s%s", program, p.stdout.String(), p.stderr.String())
		}
		resp, err := http.Get(g.front + "/-/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// publish makes n packages upstream and returns their paths in the repository.
func (g *group) publish(n int) []string {
	g.t.Helper()
	dir := "Packages"
	g.up.mkdir(filepath.Join(g.up.tree, upstreamBase, dir))
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s/thing%04d-1.%d-1.noarch.rpm", dir, i, i%7)
		g.up.write(filepath.Join(g.up.tree, upstreamBase, list[i]), packageText(list[i]))
	}
	return list
}

// packageText is what upstream has under a path.
func packageText(path string) string {
	return "\xed\xab\xee\xdb" + strings.Repeat(path+"\n", 40)
}

// failure is a request that did not bring its file.
type failure struct {
	path  string
	began time.Time
	err   error
}

// pass has clients, each from an address of its own, ask the load balancer for the
// paths that they get from the function, and returns what went wrong.
func (g *group) pass(clients int, paths func(client int) []string) []failure {
	var mu sync.Mutex
	var failed []failure
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c := newClient(i)
			defer c.CloseIdleConnections()
			for _, path := range paths(i) {
				began := time.Now()
				if err := fetchPackage(c, g.front, path); err != nil {
					mu.Lock()
					failed = append(failed, failure{path, began, err})
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return failed
}

// newClient is the client of a number: its address is 127.0.1.<number+1>.
func newClient(number int) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(number+1))}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableCompression: true}}
}

// ask sends a request of a client.
func ask(ctx context.Context, c *http.Client, address string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "client/1")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return c.Do(req)
}

// fetchPackage asks for a package, which has to be what upstream has.
func fetchPackage(c *http.Client, base, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	resp, err := ask(ctx, c, base+"/fedora/"+path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Equal(body, []byte(packageText(path)))) {
		err = fmt.Errorf("%s: %d bytes: %.200s", resp.Status, len(body), body)
	}
	return err
}

// none fails the test where a pass had failures.
func (g *group) none(failed []failure) {
	g.t.Helper()
	for i, f := range failed {
		if i == 10 {
			g.t.Errorf("and %d more", len(failed)-i)
			break
		}
		g.t.Errorf("%s: %v", f.path, f.err)
	}
}

// downloads are the packages that upstream has sent since the last call, sorted.
func (g *group) downloads() []string {
	var list []string
	for _, r := range g.up.up.Requests() {
		if path, ok := strings.CutPrefix(r.Path, upstreamBase+"/"); ok && strings.HasSuffix(path, ".rpm") && r.Status == http.StatusOK && r.Method == http.MethodGet {
			list = append(list, path)
		}
	}
	g.up.up.Forget()
	slices.Sort(list)
	return list
}

// share is part i of n of a list.
func share(list []string, i, n int) []string { return list[len(list)*i/n : len(list)*(i+1)/n] }

// once reports whether no element stands twice in a sorted list.
func once(list []string) bool { return len(slices.Compact(slices.Clone(list))) == len(list) }

// together holds that the load balancer sends what belongs together to one node, and
// what does not to all of them.
func (g *group) together() {
	g.t.Helper()
	const kinds, each = 6, 12
	var sets [kinds * each][]string
	for i := range each {
		root := fmt.Sprintf("/fedora/updates/%d/Everything/x86_64", i)
		suite := fmt.Sprintf("/debian/dists/suite%d", i)
		flat := fmt.Sprintf("/debian/flat%d", i)
		for kind, set := range [kinds][]string{
			{root + "/repodata/repomd.xml", root + "/repodata/repomd.xml.asc", root + "/repodata/0123-primary.xml.gz", "/fedora/" + root[len("/fedora"):] + "/repodata/repomd.xml"},
			{suite + "/InRelease", suite + "/main/binary-amd64/Packages.xz", suite + "/main/binary-amd64/by-hash/SHA256/00ff", suite + "/updates/main/i18n/Translation-en.xz"},
			{flat + "/InRelease", flat + "/Release", flat + "/Release.gpg", flat + "/Packages", flat + "/Packages.gz"},
			{fmt.Sprintf("/fedora/a/g++-%c-x-12.3-1.fc41.x86_64.rpm", 'a'+i), fmt.Sprintf("/fedora/b/c/g%%2B%%2B-%c-x-13-0.1.fc42.x86_64.rpm", 'a'+i)},
			{fmt.Sprintf("/debian/pool/main/v/libv%c5_3.0.21-1_amd64.deb", 'a'+i), fmt.Sprintf("/debian/pool/main/v/libv%c5_3.0.22-1%%2bdeb12_arm64.deb", 'a'+i)},
			{fmt.Sprintf("/fedora/images/%d/boot.iso", i), fmt.Sprintf("/fedora/images/%d/boot%%2Eiso", i)},
		} {
			sets[kind*each+i] = set
		}
	}
	client := newClient(0)
	defer client.CloseIdleConnections()
	for _, set := range sets {
		for _, path := range set {
			// What is asked for so costs no upstream anything.
			resp, err := ask(g.t.Context(), client, g.front+path, "Cache-Control", "only-if-cached")
			if err != nil {
				g.t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	var logs [nodes]string
	g.up.await("all requests in the logs", func() bool {
		for i, x := range g.nodes {
			logs[i] = strings.Join(x.lines(), "")
		}
		all := strings.Join(logs[:], "")
		return !slices.ContainsFunc(slices.Concat(sets[:]...), func(path string) bool { return !strings.Contains(all, `"GET `+path+" ") })
	})
	var used [kinds]map[int]bool
	for i, set := range sets {
		where := map[int]bool{}
		for _, path := range set {
			for n, log := range logs {
				if strings.Contains(log, `"GET `+path+" ") {
					where[n] = true
				}
			}
		}
		if len(where) != 1 {
			g.t.Errorf("%q are on %d nodes", set, len(where))
		}
		if used[i/each] == nil {
			used[i/each] = map[int]bool{}
		}
		for n := range where {
			used[i/each][n] = true
		}
	}
	for kind, by := range used {
		if len(by) < 2 {
			g.t.Errorf("all such as %q are on one node", sets[kind*each])
		}
	}
}

// seen holds that each node's log has the clients' own addresses, as many as there are.
func (g *group) seen(clients int) {
	g.t.Helper()
	addrs := map[string]bool{}
	for _, n := range g.nodes {
		for _, line := range n.lines() {
			addr, _, _ := strings.Cut(line, " ")
			addrs[addr] = true
			if !strings.HasPrefix(addr, "127.0.1.") {
				g.t.Errorf("no client's address: %s", line)
			}
		}
	}
	if len(addrs) != clients {
		g.t.Errorf("%d addresses of %d clients", len(addrs), clients)
	}
}

// proxied is a client that has the load balancer for its HTTP proxy.
func (g *group) proxied() *http.Client {
	front, err := url.Parse(g.front)
	if err != nil {
		g.t.Fatal(err)
	}
	c := newClient(0)
	c.Transport.(*http.Transport).Proxy = http.ProxyURL(front)
	return c
}

package popularity

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/config"
)

// now is the clock of the tests.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// upstreams are the repositories of the tests.
var upstreams = map[string]string{
	"dl.fedoraproject.org":    "/pub/fedora/linux/",
	"download1.rpmfusion.org": "/",
}

var repoOf = map[string]string{"dl.fedoraproject.org": "fedora", "download1.rpmfusion.org": "rpmfusion"}

func resolve(host, path string) (repo, rest string, ok bool) {
	if host == "" {
		for _, repo := range []string{"fedora", "rpmfusion", "debian", "alpine"} {
			if rest, ok := strings.CutPrefix(path, "/"+repo+"/"); ok {
				return repo, rest, true
			}
		}
		return "", "", false
	}
	rest, ok = strings.CutPrefix(path, upstreams[host])
	return repoOf[host], rest, ok && repoOf[host] != ""
}

func isPackage(path string) bool {
	return strings.HasSuffix(path, ".rpm") || strings.HasSuffix(path, ".deb") ||
		strings.HasSuffix(path, ".drpm") || strings.HasSuffix(path, ".apk")
}

// hit is one request of the traffic that the tests write down in each format.
type hit struct {
	client     string
	at         time.Time
	repo, rest string
	status     int
	bytes      int64
}

// formatters write a hit as each kind of server logs it.
var formatters = map[string]func(hit) string{
	"common": func(h hit) string { return clf(h, "/"+h.repo+"/"+h.rest) },
	"combined": func(h hit) string {
		return clf(h, "/"+h.repo+"/"+h.rest) + ` "-" "libdnf (Fedora Linux 41; workstation; Linux.x86_64)"`
	},
	"combined, fields behind": func(h hit) string {
		return clf(h, "/"+h.repo+"/"+h.rest) + ` "-" "libdnf \"quoted\"" "203.0.113.9, 10.0.0.1" rt=0.003 gz`
	},
	"combined, through a proxy": func(h hit) string {
		return clf(h, upstreamURL("https", h)) + ` "-" "libdnf"`
	},
	"imserve": func(h hit) string {
		return clf(h, "/"+h.repo+"/"+h.rest) + ` "-" "libdnf" "imserve; hit" 0.004`
	},
	"combined, by way of a proxy": func(h hit) string {
		client := h.client
		h.client = proxyAddress
		return clf(h, "/"+h.repo+"/"+h.rest) + ` "-" "libdnf" "203.0.113.9, ` + client + `"`
	},
	"combined, a list of clients": func(h hit) string {
		h.client = "203.0.113.9, " + h.client + ", " + proxyAddress
		return clf(h, "/"+h.repo+"/"+h.rest) + ` "-" "libdnf"`
	},
	"apt-cacher-ng": func(h hit) string {
		return fmt.Sprintf("%d|O|%d|%s|%s", h.at.Unix(), h.bytes, h.client, strings.TrimPrefix(upstreamURL("http", h), "http://"))
	},
	"json, caddy": func(h hit) string {
		return fmt.Sprintf(`{"level":"info","ts":%d.%06d,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":%q,`+
			`"remote_port":"40044","client_ip":%[3]q,"proto":"HTTP/1.1","method":"GET","host":"mirror.example.org","uri":"/%s/%s",`+
			`"headers":{"User-Agent":["libdnf"],"Accept":["*/*"]}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":%d,"status":%d,`+
			`"resp_headers":{"Server":["Caddy"],"Content-Type":[]}}`,
			h.at.Unix(), h.at.Nanosecond()/1e3, h.client, h.repo, h.rest, h.bytes, h.status)
	},
	"json, nginx": func(h hit) string {
		return fmt.Sprintf(`{"time_local":%q,"remote_addr":%q,"remote_user":"","request":"GET \/%s/%s HTTP/1.1","status": "%d",`+
			`"body_bytes_sent":"%d","request_time":"0.000","http_referrer":"","http_user_agent":"libdnf","http_x_forwarded_for":"-"}`,
			h.at.Format("02/Jan/2006:15:04:05 -0700"), h.client, h.repo, h.rest, h.status, h.bytes)
	},
	"json, nginx behind a proxy": func(h hit) string {
		return fmt.Sprintf(`{"time_iso8601":%q, "remote_addr":%q, "http_x_forwarded_for":"203.0.113.9, %s", "request_method":"GET", "request_uri":"/%s/%s",`+
			` "status":%d, "body_bytes_sent":%d}`,
			h.at.Format(time.RFC3339), proxyAddress, h.client, h.repo, h.rest, h.status, h.bytes)
	},
	"squid": func(h hit) string {
		return fmt.Sprintf("%d.%03d %6d %s TCP_MISS/%03d %d GET %s - HIER_DIRECT/198.51.100.7 application/x-rpm",
			h.at.Unix(), h.at.Nanosecond()/1e6, 123, h.client, h.status, h.bytes, upstreamURL("http", h))
	},
}

// proxyAddress is that of a trusted proxy.
const proxyAddress = "192.0.2.1"

func clf(h hit, target string) string {
	return fmt.Sprintf(`%s - - [%s] "GET %s HTTP/1.1" %d %d`, h.client, h.at.Format("02/Jan/2006:15:04:05 -0700"), target, h.status, h.bytes)
}

func upstreamURL(scheme string, h hit) string {
	for host, repo := range repoOf {
		if repo == h.repo {
			return scheme + "://" + host + upstreams[host] + h.rest
		}
	}
	panic("no upstream for " + h.repo)
}

func write(hits []hit, format string) string {
	var b strings.Builder
	for _, h := range hits {
		b.WriteString(formatters[format](h) + "\n")
	}
	return b.String()
}

// traffic makes n hits of the days before now: popular and rare names, several
// versions of them, roots that become known late, retries, ranges, not modified.
func traffic(seed uint64, n int) []hit {
	r := rand.New(rand.NewPCG(seed, 1))
	roots := []struct{ repo, root string }{
		{"fedora", "updates/41/Everything/x86_64"},
		{"fedora", "releases/41/Everything/x86_64/os"},
		{"rpmfusion", "free/fedora/updates/41/x86_64"},
		{"fedora", "nowhere/known"},
	}
	zone := time.FixedZone("", -5*3600)
	var hits []hit
	for len(hits) < n {
		root := roots[r.IntN(len(roots))]
		h := hit{
			client: fmt.Sprintf("10.0.%d.%d", r.IntN(2), r.IntN(30)),
			at:     now.Add(-time.Duration(r.IntN(6*24*3600)) * time.Second).In(zone),
			repo:   root.repo, status: 200, bytes: int64(1000 + r.IntN(100000)),
		}
		if r.IntN(50) == 0 && root.root != "nowhere/known" {
			h.rest = root.root + "/repodata/repomd.xml"
			hits = append(hits, h)
			continue
		}
		name := fmt.Sprintf("pkg%d", int(r.ExpFloat64()*20))
		h.rest = fmt.Sprintf("%s/Packages/%c/%s-1.%d-1.fc41.x86_64.rpm", root.root, 'a'+rune(r.IntN(3)), name, r.IntN(3))
		h.status = []int{200, 206, 304}[r.IntN(3)]
		for range 1 + r.IntN(3)/2 {
			hits = append(hits, h)
			h.at, h.bytes = h.at.Add(time.Second), h.bytes/2
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.at.Compare(b.at) })
	return hits
}

// expect works the ranking out from the hits as plainly as it can be said.
func expect(hits []hit, halfLife time.Duration) []Rank {
	type key struct{ name, arch, root string }
	type clientDay struct {
		client string
		day    int64
	}
	known := map[string]bool{}
	for _, h := range hits {
		if root, ok := strings.CutSuffix(h.repo+"/"+h.rest, "/repodata/repomd.xml"); ok {
			known[root] = true
		}
	}
	clientDays := map[key]map[clientDay]bool{}
	requests := map[key]map[string]int64{}
	ranks := map[key]*Rank{}
	for _, h := range hits {
		path := h.repo + "/" + h.rest
		if !isPackage(path) {
			continue
		}
		dir, base, _ := cutLast(path, "/")
		name, arch, ok := packageName(dir, base)
		if !ok {
			continue
		}
		root := ""
		for r := range known {
			if strings.HasPrefix(path, r+"/") && len(r) > len(root) {
				root = r
			}
		}
		if root == "" {
			root, _, _ = strings.Cut(path, "/Packages/")
		}
		k := key{name, arch, root}
		if ranks[k] == nil {
			ranks[k] = &Rank{Name: name, Arch: arch, Root: root}
			clientDays[k], requests[k] = map[clientDay]bool{}, map[string]int64{}
		}
		day := h.at.Unix() / 86400
		clientDays[k][clientDay{h.client, day}] = true
		id := fmt.Sprint(h.client, " ", day, " ", path)
		requests[k][id] = max(requests[k][id], h.bytes)
		if at := h.at.UTC().Truncate(time.Second); at.After(ranks[k].LastSeen) {
			ranks[k].LastSeen = at
		}
	}
	var all []Rank
	for k, r := range ranks {
		perDay := map[int64]int{}
		for cd := range clientDays[k] {
			perDay[cd.day]++
		}
		days := make([]int64, 0, len(perDay))
		for d := range perDay {
			days = append(days, d)
		}
		slices.Sort(days)
		for _, d := range days {
			age := now.Unix()/86400 - d
			r.Score += float64(perDay[d]) * math.Exp2(-float64(age)/(halfLife.Hours()/24))
			r.Clients = max(r.Clients, perDay[d])
		}
		r.ClientDays, r.Requests = len(clientDays[k]), len(requests[k])
		for _, n := range requests[k] {
			r.Bytes += n
		}
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Rank) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.ClientDays, a.ClientDays),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Root, b.Root))
	})
	for i := range all {
		all[i].Rank = i + 1
	}
	return all
}

const halfLife = 60 * 24 * time.Hour

// options are those of the tests, with a clock that stands still.
func options() Options {
	return Options{
		Resolve: resolve, IsPackage: isPackage, Clock: func() time.Time { return now },
		Trusted: func(a netip.Addr) bool { return a.String() == proxyAddress },
		Fields:  config.DefaultLogFields(),
	}
}

// openStore opens a database in dir and closes it with the test.
func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir+"/state/popularity.db", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ingest1(t testing.TB, s *Store, globs ...string) Report {
	t.Helper()
	r, err := s.Ingest(t.Context(), globs)
	if err != nil {
		t.Fatal(err)
	}
	sum := r.Counted + r.Repomd
	for _, skipped := range r.Skipped {
		sum += skipped.Lines
	}
	if sum != r.Lines {
		t.Errorf("%d lines, but counted %d + repomd %d + skipped %v", r.Lines, r.Counted, r.Repomd, r.Skipped)
	}
	return r
}

func ranks(t testing.TB, s *Store) []Rank {
	t.Helper()
	all, err := s.Rank(t.Context(), halfLife)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

package testrepo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// TrafficOptions say what Traffic invents. Until is required; the rest has
// good defaults.
type TrafficOptions struct {
	Seed    uint64
	Specs   []Spec    // what the repository holds; nil is Campus(Seed)
	Until   time.Time // no request is of this time or later
	Days    int       // how long before Until it begins; 0 is 14
	Clients int       // 0 is 60
	// Path is the repository's root on the mirror, with a leading slash;
	// "" is /fedora/updates/41/Everything/x86_64.
	Path string
	// URL is the same root as a client of a proxy asks for it; "" is
	// http://dl.fedoraproject.org/pub/fedora/linux/updates/41/Everything/x86_64.
	URL string
}

// Visit is one request of a client, as a log tells it.
type Visit struct {
	Time   time.Time     // when it came: UTC, whole seconds
	Took   time.Duration // until the answer's end, whole milliseconds
	Client netip.Addr
	Method string // "" for noise that is no request
	// Target is what the client asked a mirror for: a path in the repository, an
	// absolute URL elsewhere (it is a proxy too), host and port of a CONNECT. It is
	// spelled as the client did: some escape `+`, `~` and `^`.
	Target string
	URL    string // the same as it was asked of a proxy
	Status int
	Bytes  int64 // of the body
	Agent  string
	Result Result
	// Package is the name of the package that this visit counts for; "" for all
	// that does not count: metadata, HEAD, errors, aborted and foreign requests,
	// and those of imsync.
	Package string
}

// Result is what a cache did for a visit.
type Result int

// The results of visits.
const (
	Hit Result = iota
	Miss
	Validated // stored, and found to be the same as upstream
	NotFound
	Bypassed // none of a package cache's business
	Tunnel   // CONNECT
	Aborted  // the client left before the first byte
)

// mirrorAddr is the mirror's own address, from which imsync asks.
var mirrorAddr = netip.MustParseAddr("10.20.0.2")

// agents are the clients' User-Agents.
var agents = []string{
	"libdnf (Fedora Linux 41; workstation; Linux.x86_64)",
	"libdnf (Fedora Linux 41; kde; Linux.x86_64)",
	"libdnf (Fedora Linux 41; generic; Linux.x86_64)",
	"PackageKit-hawkey",
	"Wget/1.24.5",
}

// Traffic invents the requests of a site's clients in the days before o.Until,
// ordered by time: most of them come on some day between 6 and 22 h UTC, ask for
// repomd.xml and, if it is new to them, the rest of the metadata, and then for
// packages by a Zipf law: a few that everybody wants, a long tail. In the first
// half of the time some packages have the release before. Part of the requests
// are HEADs, ranges, conditional, aborted or for what is not there; there is
// other traffic, noise, and, at night, imsync itself. The first day counts as a Friday,
// so that it is the same traffic whenever it is made. No visit is within two
// hours of midnight UTC, so that time zones and durations move none to another day.
func Traffic(o TrafficOptions) []Visit {
	g := newGenerator(o)
	for day := range g.Days {
		date := g.first.AddDate(0, 0, day)
		g.night(day, date)
		for i := range g.clients {
			if weekend := day%7 == 1 || day%7 == 2; g.rand.IntN(10) >= 7 || weekend && g.rand.IntN(3) > 0 {
				continue
			}
			for range 1 + g.rand.IntN(5)/4 { // one in five comes twice
				g.session(day, date, &g.clients[i])
			}
		}
		g.strangers(date)
	}
	slices.SortStableFunc(g.visits, func(a, b Visit) int {
		return cmp.Or(a.Time.Compare(b.Time), a.Client.Compare(b.Client))
	})
	return slices.DeleteFunc(g.visits, func(v Visit) bool { return !v.Time.Before(o.Until) })
}

// client is one of the site's machines.
type client struct {
	addr    netip.Addr
	agent   string
	escapes bool // writes %2B for +
	seen    int  // the day whose metadata it has, -1: none
	has     map[string]bool
}

// generator makes visits; clock moves on with each.
type generator struct {
	TrafficOptions
	rand    *rand.Rand
	zipf    *rand.Zipf
	first   time.Time // the first day's midnight
	ranked  []Spec    // by popularity
	clients []client
	cached  map[string]bool // what someone asked for before
	visits  []Visit
	clock   time.Time
}

func newGenerator(o TrafficOptions) *generator {
	if o.Specs == nil {
		o.Specs = Campus(o.Seed)
	}
	o.Days, o.Clients = cmp.Or(o.Days, 14), cmp.Or(o.Clients, 60)
	o.Path = cmp.Or(o.Path, "/fedora/updates/41/Everything/x86_64")
	o.URL = cmp.Or(o.URL, "http://dl.fedoraproject.org/pub/fedora/linux/updates/41/Everything/x86_64")
	last := o.Until.UTC().Add(-time.Nanosecond).Truncate(24 * time.Hour)
	g := &generator{
		TrafficOptions: o,
		rand:           namedRand(o.Seed, "traffic", ""),
		first:          last.AddDate(0, 0, 1-o.Days),
		ranked:         byPopularity(o.Specs, o.Seed),
		cached:         make(map[string]bool),
	}
	g.zipf = rand.NewZipf(g.rand, 1.15, 4, uint64(max(len(g.ranked), 1)-1))
	for i := range o.Clients {
		addr := netip.AddrFrom4([4]byte{10, 20, byte(1 + i/200), byte(1 + i%200)})
		if i%9 == 8 {
			addr = netip.MustParseAddr(fmt.Sprintf("2001:db8:42::%x", i+1))
		}
		c := client{addr: addr, seen: -1, has: make(map[string]bool)}
		c.agent = agents[g.rand.IntN(len(agents))]
		c.escapes = strings.HasPrefix(c.agent, "Wget")
		g.clients = append(g.clients, c)
	}
	return g
}

// byPopularity orders the packages: what the campus table says everybody wants,
// then the rest as the seed has it, -devel and -doc last.
func byPopularity(specs []Spec, seed uint64) []Spec {
	entries, err := parseCampus(campusTable)
	if err != nil {
		panic(err) // as in Campus
	}
	wanted := make(map[string]bool)
	for _, e := range entries {
		wanted[e.Name] = e.wanted
	}
	class := func(s Spec) int {
		switch {
		case wanted[s.Name]:
			return 0
		case strings.HasSuffix(s.Name, "-devel") || strings.HasSuffix(s.Name, "-doc"):
			return 2
		}
		return 1
	}
	out := slices.Clone(specs)
	slices.SortFunc(out, func(a, b Spec) int {
		return cmp.Or(cmp.Compare(class(a), class(b)),
			cmp.Compare(namedRand(seed, "popular", a.Name).Uint64(), namedRand(seed, "popular", b.Name).Uint64()),
			strings.Compare(a.NEVRA(), b.NEVRA()))
	})
	return out
}

// session is one client's visits of one day.
func (g *generator) session(day int, date time.Time, c *client) {
	g.clock = date.Add(6*time.Hour + time.Duration(g.rand.IntN(15*3600))*time.Second)
	repomd := g.visit(c, "repodata/repomd.xml", 3000)
	if c.seen == day {
		repomd.Status, repomd.Bytes = 304, 0
	} else {
		c.seen = day
		g.visit(c, g.metadata(day, "primary"), 52_000)
		if g.rand.IntN(3) == 0 {
			g.visit(c, g.metadata(day, "filelists"), 31_000)
		}
	}
	for range 1 + int(g.rand.ExpFloat64()*4) {
		if len(g.ranked) == 0 {
			return
		}
		s := g.ranked[g.zipf.Uint64()]
		if g.rand.IntN(8) == 0 {
			s.Name = "" // for one in eight: something else
		}
		g.fetch(day, c, s)
	}
}

// fetch is one client's wish for a package, or something that goes with it.
func (g *generator) fetch(day int, c *client, s Spec) {
	if s.Name == "" {
		g.other(c)
		return
	}
	if day < g.Days/2 && (s.source() == "kernel" || namedRand(g.Seed, "earlier", s.source()).IntN(4) == 0) {
		s.Release = decrement(s.Release)
	}
	location, size := s.Location(), int64(s.Size)+3500
	if c.has[location] {
		return
	}
	switch g.rand.IntN(40) {
	case 0: // looks first; and is still without it
		g.visit(c, location, size).Method = "HEAD"
		g.last().Bytes = 0
		return
	case 1:
		v := g.visit(c, location, 0)
		v.Status, v.Result = 499, Aborted
		return
	case 2:
		v := g.visit(c, "Packages/x/"+s.Filename(), 153)
		v.Status, v.Result = 404, NotFound
		return
	case 3: // in two parts
		v := g.visit(c, location, size/2)
		v.Status, v.Package = 206, s.Name
		v = g.visit(c, location, size-size/2)
		v.Status, v.Package = 206, s.Name
	case 4: // has it, and asks whether it is still good
		v := g.visit(c, location, 0)
		v.Status, v.Package, v.Result = 304, s.Name, Validated
	default:
		g.visit(c, location, size).Package = s.Name
	}
	c.has[location] = true
}

// visit adds a visit of the repository, a GET that is answered 200. The result
// is valid until the next call.
func (g *generator) visit(c *client, location string, size int64) *Visit {
	result := Hit
	if !g.cached[location] {
		g.cached[location] = true
		result = Miss
	}
	if c.escapes {
		location = strings.NewReplacer("+", "%2B", "~", "%7E", "^", "%5E").Replace(location)
	}
	return g.add(Visit{
		Client: c.addr, Agent: c.agent, Method: "GET",
		Target: g.Path + "/" + location, URL: g.URL + "/" + location,
		Status: 200, Bytes: size, Result: result,
	})
}

// add adds a visit at the clock's time, and moves the clock behind it.
func (g *generator) add(v Visit) *Visit {
	rate := int64(100_000) // bytes a millisecond: from the cache
	if v.Result != Hit {
		rate = 4_000
	}
	v.Time = g.clock
	v.Took = time.Duration(1+g.rand.Int64N(20)+v.Bytes/rate) * time.Millisecond
	g.clock = g.clock.Add(v.Took.Truncate(time.Second) + time.Duration(1+g.rand.IntN(3))*time.Second)
	g.visits = append(g.visits, v)
	return g.last()
}

func (g *generator) last() *Visit { return &g.visits[len(g.visits)-1] }

// metadata is the location of one of the day's metadata files.
func (g *generator) metadata(day int, typ string) string {
	sum := hexSum(fmt.Appendf(nil, "%d %d %s", g.Seed, day, typ))
	return "repodata/" + sum + "-" + typ + ".xml.gz"
}

// other is a request that has nothing to do with packages.
func (g *generator) other(c *client) {
	v := Visit{Client: c.addr, Agent: c.agent, Method: "GET", Status: 200, Bytes: int64(200 + g.rand.IntN(90_000)), Result: Bypassed}
	switch g.rand.IntN(4) {
	case 0:
		v.Method, v.Target, v.Result = "CONNECT", "www.example.org:443", Tunnel
	case 1:
		v.Target = fmt.Sprintf("http://intranet.example.edu/timetable?week=%d", 1+g.rand.IntN(52))
	case 2:
		v.Method, v.Target = "POST", "http://intranet.example.edu/print/queue"
	case 3:
		v.Target = fmt.Sprintf("http://www.example.com/img/%d.png", g.rand.IntN(1000))
	}
	v.URL = v.Target
	g.add(v)
}

// night is what imsync itself asks of the mirror.
func (g *generator) night(day int, date time.Time) {
	g.clock = date.Add(2*time.Hour + 17*time.Minute)
	c := client{addr: mirrorAddr, agent: "imsync/1.0"}
	g.visit(&c, "repodata/repomd.xml", 3000)
	g.visit(&c, g.metadata(day, "primary"), 52_000)
	// It takes what nobody else wants: counted, that would show in the ranking.
	for _, s := range g.ranked[max(len(g.ranked)-20, 0):] {
		g.visit(&c, s.Location(), int64(s.Size)+3500)
	}
}

// strangers are scanners and noise.
func (g *generator) strangers(date time.Time) {
	g.clock = date.Add(9*time.Hour + time.Duration(g.rand.IntN(36_000))*time.Second)
	from := netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + g.rand.IntN(250))})
	for _, path := range []string{"/.env", "/wp-login.php", "/admin/config.php", "/cgi-bin/luci"} {
		g.add(Visit{
			Client: from, Agent: `Mozilla/5.0 (compatible; "scan"/1.1)`, Method: "GET",
			Target: path, URL: "http://mirror.example.edu" + path, Status: 404, Bytes: 19, Result: NotFound,
		})
	}
	g.add(Visit{Client: from, Target: "\x16\x03\x01\x00\xee\x01\"", Status: 400, Bytes: 11, Result: Bypassed})
}

// decrement takes one from the number that s begins with, if it is over 1.
func decrement(s string) string {
	rest := strings.TrimLeft(s, "0123456789")
	var n int
	if _, err := fmt.Sscan(strings.TrimSuffix(s, rest), &n); err != nil || n < 2 {
		return s
	}
	return fmt.Sprint(n-1) + rest
}

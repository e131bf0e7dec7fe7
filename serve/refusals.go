package serve

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/upstream"
)

// refusals logs who was turned away, and from where, each once in a while, with
// what to write into the configuration to change that.
type refusals struct {
	log        *slog.Logger
	whom       seldom[netip.Prefix]
	places     seldom[string]
	tokens     seldom[netip.Prefix]
	handshakes seldom[handshake]
}

// handshake is what came of one, with whom.
type handshake struct {
	client netip.Addr
	what   string
}

func newRefusals(log *slog.Logger, now func() time.Time) *refusals {
	return &refusals{log: log, whom: seldom[netip.Prefix]{now: now}, places: seldom[string]{now: now}, tokens: seldom[netip.Prefix]{now: now}, handshakes: seldom[handshake]{now: now}}
}

// client logs that a was refused by the configuration c. The log names its network:
// the address itself is the access log's.
func (f *refusals) client(a netip.Addr, c *config.Serve) {
	if network := networkOf(a); f.whom.due(network) {
		f.log.Warn("a client was refused: its address is in none of serve.clients", "network", network.String(), "to_let_it_in", clientsLine(c, network))
	}
}

// token logs that a has given a wrong token.
func (f *refusals) token(a netip.Addr) {
	if network := networkOf(a); f.tokens.due(network) {
		f.log.Warn("a client was refused: what it gives is not the token of serve.admin_token", "network", network.String())
	}
}

// networkOf is the network that an address is taken to be of: 256 addresses, or
// those that one site's segment has by IPv6.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // a was no address
	}
	return p
}

// refuse answers a request for a place where this mirror leads nobody: why says
// which rule has it so, and line is the one that would allow it.
func (s *Server) refuse(a *answer, place, why, line string) {
	if s.refusals.places.due(place) {
		s.o.Log.Warn("a place was refused: "+why, "place", place, "to_allow_it", line)
	}
	a.text(http.StatusForbidden, cache.Status{}, "This mirror does not lead to "+place+": "+why+".",
		"If it should, ask its administrator: the mirror's log says which line to add.")
}

// deny answers a request that would lead to an address of serve.proxy_deny. The
// client is told no address: names within the site are not for everybody.
func (s *Server) deny(a *answer, err *upstream.DeniedError) {
	host := err.Host
	if h, _, serr := net.SplitHostPort(host); serr == nil {
		host = h
	}
	s.refuse(a, err.Host, "its address is one of serve.proxy_deny", allowLine(&s.o.Config.Serve, host))
}

// The lines of the configuration that change a refusal.
func clientsLine(c *config.Serve, network netip.Prefix) string {
	var list []string
	for _, p := range c.Clients {
		if p.IsSingleIP() {
			list = append(list, p.Addr().String())
		} else {
			list = append(list, p.String())
		}
	}
	return line("clients", "%q", append(list, network.String()))
}

func allowLine(c *config.Serve, host string) string {
	return line("proxy_allow", "%q", append(slices.Clone(c.ProxyAllow), host))
}

func portsLine(c *config.Serve, port int) string {
	return line("connect_ports", "%d", append(slices.Clone(c.ConnectPorts), port))
}

func hostsLine(c *config.Serve, host string) string {
	return line("connect_hosts", "%q", append(slices.Clone(c.ConnectHosts), config.Pattern(host)))
}

// line is a key with a list, as the configuration has it.
func line[T any](key, format string, list []T) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = fmt.Sprintf(format, x)
	}
	return key + " = [" + strings.Join(texts, ", ") + "]"
}

// seldom says of things whether they are due to be logged: each once in a while.
// It is safe for concurrent use.
type seldom[K comparable] struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[K]time.Time
}

const (
	refusalEvery = time.Hour
	maxRefusals  = 4096 // things that are remembered
)

// due reports whether k has not been logged for a while.
func (f *seldom[K]) due(k K) bool {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.seen[k]; ok && now.Sub(last) < refusalEvery {
		return false
	}
	if f.seen == nil || len(f.seen) >= maxRefusals {
		f.seen = make(map[K]time.Time)
	}
	f.seen[k] = now
	return true
}

package serve

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/config"
)

// client is who a request comes from.
type client struct {
	addr netip.Addr // the zero Addr where it can't be told
	// proxied says that somebody else may have asked through this address.
	proxied bool
}

func (c client) String() string {
	if !c.addr.IsValid() {
		return "-"
	}
	return c.addr.String()
}

// clientOf tells who a request comes from: the peer or, as long as that is a
// proxy that is trusted, whom its X-Forwarded-For names, from the right.
func clientOf(r *http.Request, trusted config.Networks) client {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return client{proxied: true}
	}
	c := client{addr: plain(peer.Addr())}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "Via"} {
		c.proxied = c.proxied || len(r.Header.Values(name)) > 0
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && trusted.Contains(c.addr); i-- {
		next, ok := forwarded(hops[i])
		if !ok {
			// "unknown", or nothing: whoever said so is all that is known.
			break
		}
		c.addr = next
	}
	return c
}

// forwarded reads one element of X-Forwarded-For, which some proxies write with a port.
func forwarded(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return plain(a), true
	}
	ap, err := netip.ParseAddrPort(s)
	return plain(ap.Addr()), err == nil
}

// plain is an address as it is logged, checked and counted: IPv4 as IPv4, and
// without the name of an interface.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// isAdmin reports whether c may see what the server knows of its users. A
// request that came by way of a proxy never may: its sender is anybody.
func isAdmin(c client, admins config.Networks) bool { return !c.proxied && admins.Contains(c.addr) }

// refusals logs which addresses were turned away, each once in a while.
type refusals struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	seen map[netip.Addr]time.Time
}

const (
	refusalEvery = time.Hour
	maxRefusals  = 4096 // addresses that are remembered
)

// note logs that a was refused, which is none of clients, and what to write to
// let it in.
func (f *refusals) note(a netip.Addr, clients config.Networks) {
	if !f.due(a) {
		return
	}
	f.log.Warn("a client was refused: its address is in none of serve.clients", "address", a.String(), "to_let_it_in", lineFor(a, clients))
}

// due reports whether a has not been logged for a while.
func (f *refusals) due(a netip.Addr) bool {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.seen[a]; ok && now.Sub(last) < refusalEvery {
		return false
	}
	if f.seen == nil || len(f.seen) >= maxRefusals {
		f.seen = make(map[netip.Addr]time.Time)
	}
	f.seen[a] = now
	return true
}

// lineFor is the line of the configuration that lets a in beside clients.
func lineFor(a netip.Addr, clients config.Networks) string {
	var b strings.Builder
	b.WriteString("clients = [")
	for _, p := range clients {
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		fmt.Fprintf(&b, "%q, ", text)
	}
	fmt.Fprintf(&b, "%q]", a.String())
	return b.String()
}

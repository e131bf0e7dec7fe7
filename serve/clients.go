package serve

import (
	"net/http"
	"net/netip"
	"strings"

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
	c.addr = behind(c.addr, strings.Join(r.Header.Values("X-Forwarded-For"), ","), trusted)
	return c
}

// behind is whom the X-Forwarded-For of a request from addr names.
func behind(addr netip.Addr, field string, trusted config.Networks) netip.Addr {
	hops := strings.Split(field, ",")
	for i := len(hops) - 1; i >= 0 && trusted.Contains(addr); i-- {
		next, ok := forwarded(hops[i])
		if !ok {
			// "unknown", or nothing: whoever said so is all that is known.
			break
		}
		addr = next
	}
	return addr
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

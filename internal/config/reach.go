package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// MayReach reports whether a request whose host a client named may lead to the
// address addr: proxy_deny forbids it, proxy_allow makes exceptions by address or
// by name, and an upstream of the configuration may be reached wherever it is.
// host is the name under which addr was found, with or without a port. It is to
// be asked of each address that is dialled, after the name has been looked up.
func (c *Config) MayReach(host string, addr netip.Addr) bool {
	if !c.denied(addr) {
		return true
	}
	host = canonicalHost(host)
	if c.prefixes != nil && c.prefixes.upstreams[host] {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = strings.TrimSuffix(h, ".")
	}
	for _, exception := range c.Serve.ProxyAllow {
		if p, err := parseNetwork(exception); err == nil {
			if (Networks{p}).Contains(addr) {
				return true
			}
		} else if exception == name {
			return true
		}
	}
	return false
}

// denied reports whether proxy_deny has addr, in any of its forms.
func (c *Config) denied(addr netip.Addr) bool {
	return slices.ContainsFunc(forms(addr), c.Serve.ProxyDeny.Contains)
}

// Networks of IPv6 whose addresses have one of IPv4 within them.
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo4 = netip.MustParsePrefix("2002::/16")    // RFC 3056
	inIPv6 = netip.MustParsePrefix("::/96")        // RFC 4291, 2.5.5.1
)

// forms is the addresses at which a connection to addr may end: itself, the
// IPv4 address within it, which a gateway on the way may take out, and for "no
// address" this machine, to which the kernel connects then.
func forms(addr netip.Addr) []netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return nil
	}
	b := addr.As16()
	switch {
	case addr == netip.IPv4Unspecified():
		return []netip.Addr{addr, netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	case addr == netip.IPv6Unspecified():
		return []netip.Addr{addr, netip.IPv6Loopback()}
	case addr.Is4(), addr == netip.IPv6Loopback():
		return []netip.Addr{addr}
	case nat64.Contains(addr), inIPv6.Contains(addr):
		return []netip.Addr{addr, netip.AddrFrom4([4]byte(b[12:]))}
	case sixTo4.Contains(addr):
		return []netip.Addr{addr, netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return []netip.Addr{addr}
}

// ReposAt is the names of the repositories that have an upstream or an alias on
// host, with or without a port, in the configuration's order.
func (c *Config) ReposAt(host string) []string {
	if c.prefixes == nil {
		return nil
	}
	host = canonicalHost(host)
	there := map[string]bool{}
	for _, p := range c.prefixes.hosts[host] {
		there[p.repo] = true
	}
	for _, p := range c.prefixes.wild {
		there[p.repo] = there[p.repo] || matchHost(p.host, host)
	}
	var names []string
	for i := range c.Repos {
		if name := c.Repos[i].Name; there[name] {
			names = append(names, name)
		}
	}
	return names
}

// ListsAt is the names of the repositories that have a metalink or a list of
// mirrors on host, with or without a port, in the configuration's order.
func (c *Config) ListsAt(host string) []string {
	if c.prefixes == nil {
		return nil
	}
	return c.prefixes.lists[canonicalHost(host)]
}

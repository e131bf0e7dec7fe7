package popularity

import (
	"bytes"
	"net/netip"
	"strings"
)

// clientOf is who asked: whom the line names first or, as long as that is a
// proxy that is trusted, whom its X-Forwarded-For names, from the right. It is
// serve's rule for live requests.
func (p *parser) clientOf(e *entry) []byte {
	client, hops := e.client, e.forwarded
	for len(hops) > 0 {
		addr, ok := parseHop(client)
		if !ok || p.trusted == nil || !p.trusted(addr) {
			break
		}
		next := hops
		if i := bytes.LastIndexByte(hops, ','); i >= 0 {
			hops, next = hops[:i], hops[i+1:]
		} else {
			hops = nil
		}
		next = bytes.TrimSpace(next)
		addr, ok = parseHop(next)
		if !ok {
			// "unknown", or nothing: whoever said so is all that is known.
			break
		}
		if client = next; bytes.IndexByte(next, ':') >= 0 && !bytes.Equal(next, []byte(addr.String())) {
			client = p.keep([]byte(addr.String())) // with a port, in brackets
		}
	}
	return client
}

// keep copies b to where it lives as long as the block that is being parsed.
func (p *parser) keep(b []byte) []byte {
	from := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[from:len(p.arena):len(p.arena)]
}

// parseHop reads an address as X-Forwarded-For has it: some proxies write it
// with a port.
func parseHop(b []byte) (netip.Addr, bool) {
	if len(b) == 0 || len(b) > 64 {
		return netip.Addr{}, false
	}
	s := string(b)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// normalClient is one spelling of an address: servers differ in how they write
// IPv6, and IPv4 that reached them over an IPv6 socket.
func normalClient(address string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if ip, err := netip.ParseAddr(bare); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return strings.ToLower(address)
}

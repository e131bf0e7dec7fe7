package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Networks is a list of networks; a single address is a network of one.
type Networks []netip.Prefix

// Contains reports whether a is in one of the networks. An IPv4 address in
// IPv6's clothes is the IPv4 address, and an address's zone does not matter.
func (n Networks) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// covers reports whether all of p is in one of the networks.
func (n Networks) covers(p netip.Prefix) bool {
	for _, q := range n {
		if q.Bits() <= p.Bits() && q.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// parseNetwork reads "10.0.0.0/8", "fc00::/7" or a single address.
func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return netip.Prefix{}, errors.New("not an address")
		case a.Zone() != "":
			return netip.Prefix{}, errors.New("an address without a zone")
		case a.Is4In6():
			return netip.Prefix{}, fmt.Errorf("write it as %q", a.Unmap())
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("not a network")
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("write an IPv4 network as IPv4")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("an address within a network; the network is %q", p.Masked())
	}
	return p, nil
}

// networkText is a form that parseNetwork reads.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// attached are the networks of a host's own addresses that known does not
// cover yet.
func attached(addrs []net.Addr, known Networks) Networks {
	var more Networks
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(ipnet.IP)
		ones, bits := ipnet.Mask.Size()
		// A mask of no bits is a tunnel's, and would be the whole world.
		if !ok || bits == 0 || ones == 0 {
			continue
		}
		p := netip.PrefixFrom(addr.Unmap(), ones).Masked()
		if p.IsValid() && !known.covers(p) && !more.covers(p) {
			more = append(more, p)
		}
	}
	return more
}

// parseListen checks host:port; the host may be left out, and port 0 is any.
func parseListen(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("not host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", errors.New("the port is a number up to 65535")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostName(host) {
		return "", errors.New("the host is an address or a name")
	}
	return s, nil
}

// parseHostOrNetwork checks an exception to proxy_deny.
func parseHostOrNetwork(s string) (string, error) {
	if strings.Trim(s, "0123456789./") == "" || strings.ContainsAny(s, ":/") {
		_, err := parseNetwork(s)
		return s, err
	}
	if !isHostName(s) {
		return "", errors.New("neither a network nor a host's name")
	}
	return strings.ToLower(s), nil
}

// isHostName reports whether s can be the name of a host.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") ||
			strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// parseUpstream checks a mirror's URL and takes the slash off its end.
func parseUpstream(s string) (string, error) {
	u, err := parsePrefixURL(s)
	if err != nil {
		return "", err
	}
	if strings.Contains(u.Host, "*") {
		return "", errors.New("an upstream's host is no pattern")
	}
	return strings.TrimRight(s, "/"), nil
}

// parseAlias checks a URL prefix, whose host may have "*" for a label.
func parseAlias(s string) (string, error) {
	u, err := parsePrefixURL(s)
	if err != nil {
		return "", err
	}
	// A pattern must end in a domain, or any host would be ours.
	if i := strings.LastIndexByte(u.Host, '*'); i >= 0 && strings.Count(u.Host[i+1:], ".") < 2 {
		return "", errors.New(`after "*" there must be a domain, as in "*.archive.example.org"`)
	}
	return strings.TrimRight(s, "/"), nil
}

// parseProxy checks the URL of a proxy to go out by. It may name a user.
func parseProxy(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return "", errors.New("not a URL with http, https or socks5")
	case !isURLHost(u) || strings.Contains(u.Host, "*"):
		return "", errors.New("the host is missing or no host's name")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("a proxy has no path")
	case !isPlain(s):
		return "", errors.New("a URL is escaped")
	}
	return strings.TrimSuffix(s, "/"), nil
}

// parsePrefixURL reads what upstreams and aliases have in common.
func parsePrefixURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("not a URL with http or https")
	case u.User != nil:
		return nil, errors.New("a URL without user and password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
		return nil, errors.New(`a URL without "?" and "#"`)
	}
	switch {
	case !isURLHost(u):
		return nil, errors.New("the host is missing or no host's name")
	case !isPlain(s):
		return nil, errors.New("a URL is escaped")
	}
	return u, checkURLPath(u.Path)
}

// isURLHost reports whether u has a host that can be, "*" taken as a label,
// and no port or one that can be.
func isURLHost(u *url.URL) bool {
	name := u.Hostname()
	if _, err := netip.ParseAddr(name); err != nil {
		for label := range strings.SplitSeq(name, ".") {
			if label != "*" && !isHostName(label) {
				return false
			}
		}
	}
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// checkURLPath refuses a path, decoded, that does not name one directory.
func checkURLPath(p string) error {
	for name := range strings.SplitSeq(p, "/") {
		if name == "." || name == ".." {
			return errors.New(`a path without "." and ".."`)
		}
	}
	if strings.Contains(p, "//") {
		return errors.New(`a path without "//"`)
	}
	return nil
}

// isPlain reports whether s has only visible ASCII, as a URL is sent.
func isPlain(s string) bool { return strings.Trim(s, asciiGraphic) == "" }

// parseAliasPath checks a path prefix and takes the slash off its end.
func parseAliasPath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") || strings.Trim(s, "/") == "" || strings.ContainsAny(s, "?#") || !isPlain(s) {
		return "", errors.New("not a path that begins with a slash")
	}
	return strings.TrimRight(s, "/"), checkURLPath(s)
}

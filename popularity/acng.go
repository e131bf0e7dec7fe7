package popularity

import "bytes"

// looksLikeACNG says whether the line begins as apt-cacher-ng's do: seconds, a
// bar, a letter, a bar.
func looksLikeACNG(b []byte) bool {
	i := 0
	for i < len(b) && i < 12 && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i > 0 && len(b) > i+2 && b[i] == '|' && b[i+2] == '|'
}

// acngRepos are the repositories that apt-cacher-ng's own configuration has
// under other names than ours.
var acngRepos = []struct{ name, path []byte }{
	{[]byte("debrep/"), []byte("/debian/")},
	{[]byte("secdeb/"), []byte("/debian-security/")},
	{[]byte("uburep/"), []byte("/ubuntu/")},
}

var (
	schemeHTTP = []byte("http://")
	acngError  = []byte(" [HTTP error, code: ")
)

// parseACNG reads the format of apt-cacher-ng (VerboseLog, as it is by default):
//
//	seconds|O|bytes|client|path
//
// O is what went out to the client, I what was fetched from upstream for it, E
// an error, with its status behind the path: " [HTTP error, code: 404]". The path
// is that of a repository of apt-cacher-ng's configuration, debrep/pool/..., or
// begins with a host. The format has no method and no User-Agent.
func (p *parser) parseACNG(b []byte, e *entry) reason {
	e.format = formatACNG
	var f [4][]byte
	for i := range f {
		var ok bool
		if f[i], b, ok = cut(b, '|'); !ok {
			return reasonMalformed
		}
	}
	at, ok := parseUint(f[0])
	if !ok {
		return reasonMalformed
	}
	e.at = at
	if e.bytes, ok = parseUint(f[2]); !ok || !validClient(f[3]) {
		return reasonMalformed
	}
	if i := bytes.LastIndex(b, acngError); i >= 0 {
		code, end, _ := cut(b[i+len(acngError):], ']')
		if e.status, ok = parseStatus(code); !ok || len(end) > 0 {
			return reasonMalformed
		}
		b = b[:i]
	}
	e.client, e.method = f[3], methodGet
	switch string(f[1]) {
	case "O":
		e.status = 200
	case "I":
		e.fetched = true
	case "E":
		// The code may be what upstream said before it went wrong.
		if e.status < 400 {
			e.status = 502
		}
	default:
		return reasonMalformed
	}
	e.target = p.acngTarget(b)
	return reasonNone
}

// acngTarget makes a request's target of a path in apt-cacher-ng's store.
func (p *parser) acngTarget(path []byte) []byte {
	from := len(p.arena)
	for _, r := range acngRepos {
		if rest, ok := bytes.CutPrefix(path, r.name); ok {
			p.arena = append(append(p.arena, r.path...), rest...)
			return p.arena[from:len(p.arena):len(p.arena)]
		}
	}
	switch first, _, _ := cut(path, '/'); {
	case bytes.IndexByte(first, '.') > 0:
		p.arena = append(p.arena, schemeHTTP...)
	default:
		p.arena = append(p.arena, '/')
	}
	p.arena = append(p.arena, path...)
	return p.arena[from:len(p.arena):len(p.arena)]
}

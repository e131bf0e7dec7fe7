package popularity

import "bytes"

var squidAborted = []byte("_ABORTED")

// looksLikeSquid says whether the line begins as squid's native format does,
// with seconds, a dot, milliseconds and a space. No address and no host name
// of another format looks like that.
func looksLikeSquid(b []byte) bool {
	i := 0
	for i < len(b) && i < 12 && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == 0 || len(b) < i+5 || b[i] != '.' || b[i+4] != ' ' {
		return false
	}
	for _, c := range b[i+1 : i+4] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// parseSquid reads squid's native format:
//
//	time.ms elapsed client code/status bytes method URL rfc931 hierarchy/peer type
//
// Fields behind the type (log_mime_hdrs) are left alone. The format has no
// User-Agent.
func parseSquid(b []byte, e *entry) reason {
	e.format = formatSquid
	var f [10][]byte
	for i := range f {
		for len(b) > 0 && b[0] == ' ' {
			b = b[1:]
		}
		if len(b) == 0 {
			return reasonMalformed
		}
		f[i], b, _ = cut(b, ' ')
	}
	seconds, _, _ := cut(f[0], '.')
	at, ok := parseUint(seconds)
	if !ok {
		return reasonMalformed
	}
	e.at = at
	code, status, ok := cut(f[3], '/')
	if !ok {
		return reasonMalformed
	}
	if e.status, ok = parseStatus(status); !ok {
		return reasonMalformed
	}
	if e.bytes, ok = parseUint(f[4]); !ok {
		return reasonMalformed
	}
	if !validClient(f[2]) {
		return reasonMalformed
	}
	e.aborted = bytes.Contains(code, squidAborted)
	e.client, e.method, e.target = f[2], f[5], f[6]
	return reasonNone
}

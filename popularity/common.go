package popularity

import "bytes"

var (
	nobodyOpens   = []byte(" - - [")
	dateOpens     = []byte(" [")
	httpVersion   = []byte("HTTP/")
	imserveCache  = []byte("imserve;")
	detailAborted = []byte("detail=aborted")
)

// parseCommon reads the formats of Apache and nginx, and imserve's own:
//
//	client ident user [21/Nov/2026:09:12:44 +0000] "GET /x HTTP/1.1" 200 512            common
//	... "referer" "user agent"                                                          combined
//	... "referer" "user agent" "203.0.113.9, 10.0.0.1"                                  combined, X-Forwarded-For behind it
//	... "referer" "user agent" "imserve; hit" 0.004                                     imserve
//
// Whatever else stands behind is left alone. Some sites put X-Forwarded-For in
// the client's place: of "203.0.113.9, 10.0.0.1 - - [" the last is the client,
// with the others as what it forwarded.
func (p *parser) parseCommon(b []byte, e *entry) reason {
	e.format = formatCommon
	sp := bytes.IndexByte(b, ' ')
	if sp < 0 || !validClient(b[:sp]) {
		return reasonMalformed
	}
	e.client = b[:sp]
	for b[sp-1] == ',' {
		i := bytes.IndexByte(b[sp+1:], ' ')
		if i <= 0 || !validClient(b[sp+1:sp+1+i]) {
			return reasonMalformed
		}
		e.forwarded, e.client = b[:sp-1], b[sp+1:sp+1+i]
		sp += 1 + i
	}

	// The user's name may hold spaces and brackets: the date is the first
	// bracket that closes where a date's does.
	at := sp
	if bytes.HasPrefix(b[sp:], nobodyOpens) {
		at += len(nobodyOpens) - len(dateOpens) // what is found below, and what most lines have
	}
	for {
		i := bytes.Index(b[at:], dateOpens)
		if i < 0 {
			return reasonMalformed
		}
		at += i + len(dateOpens)
		if len(b) <= at+clfDateLen {
			return reasonMalformed
		}
		if b[at+clfDateLen] == ']' {
			break
		}
	}
	when, why := p.date(b[at : at+clfDateLen])
	if why != reasonNone {
		return why
	}
	e.at = when

	request, rest, ok := quoted(b[at+clfDateLen+1:])
	if !ok || !splitRequest(request, e) {
		return reasonMalformed
	}

	if len(rest) < 5 || rest[0] != ' ' || rest[4] != ' ' {
		return reasonMalformed
	}
	if e.status, ok = parseStatus(rest[1:4]); !ok {
		return reasonMalformed
	}
	size, rest, _ := cut(rest[5:], ' ')
	if len(size) != 1 || size[0] != '-' {
		if e.bytes, ok = parseUint(size); !ok {
			return reasonMalformed
		}
	}
	if len(rest) == 0 || rest[0] != '"' {
		return reasonNone
	}
	return parseBehind(rest, e)
}

// parseBehind reads what the combined format and imserve's own have behind the
// common one; b begins with a quote.
func parseBehind(b []byte, e *entry) reason {
	e.format = formatCombined
	_, rest, ok := quotedHere(b)
	if !ok {
		return reasonMalformed
	}
	e.agent, rest, ok = quoted(rest)
	if !ok {
		return reasonMalformed
	}
	// Any third field is possible here, so that one which does not parse is
	// not an error.
	third, _, ok := quoted(rest)
	switch {
	case !ok:
	case bytes.HasPrefix(third, imserveCache):
		e.format = formatImserve
		e.aborted = bytes.Contains(third, detailAborted)
	case len(e.forwarded) == 0 && isForwarded(third):
		e.forwarded = third
	}
	return reasonNone
}

// isForwarded says whether a field can be X-Forwarded-For: its last address is
// one. Other fields that servers write there are numbers and words.
func isForwarded(b []byte) bool {
	last := bytes.TrimSpace(b[bytes.LastIndexByte(b, ',')+1:])
	if bytes.IndexByte(last, '.') < 0 && bytes.IndexByte(last, ':') < 0 {
		return false
	}
	_, ok := parseHop(last)
	return ok
}

// splitRequest takes a request line apart. The target is whatever stands
// between the method and the version: some clients send raw spaces.
func splitRequest(b []byte, e *entry) bool {
	method, target, ok := cut(b, ' ')
	if !ok {
		return false
	}
	if i := bytes.LastIndexByte(target, ' '); i >= 0 && bytes.HasPrefix(target[i+1:], httpVersion) {
		target = target[:i]
	}
	e.method, e.target = method, target
	return len(method) > 0 && len(target) > 0
}

// quoted reads a space and a quoted string at the start of b.
func quoted(b []byte) (content, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != ' ' {
		return nil, nil, false
	}
	return quotedHere(b[1:])
}

// quotedHere reads a quoted string at the start of b. In it, a quote with an
// odd number of backslashes before it is escaped.
func quotedHere(b []byte) (content, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for end := 1; ; end++ {
		i := bytes.IndexByte(b[end:], '"')
		if i < 0 {
			return nil, nil, false
		}
		end += i
		slashes := 0
		for b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return b[1:end], b[end+1:], true
		}
	}
}

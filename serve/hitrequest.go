package serve

import "bytes"

// hitRequest is a request as it may be answered by hitConn: a GET with none of
// the fields that an answer depends on. Its slices are of the bytes that it was
// read from.
type hitRequest struct {
	target  []byte // in origin-form
	agent   []byte
	referer []byte
	// behind is X-Forwarded-For, nil where there is none.
	behind []byte
}

// shape is what the beginning of some bytes is.
type shape int

const (
	// opaque: something that net/http has to make out, up to an end that nobody
	// else knows.
	opaque shape = iota
	// bodyless: the header of one request that has no body.
	bodyless
	// plainGet: the same, and a hitRequest.
	plainGet
)

var (
	headerEnd = []byte("\r\n\r\n")
	getMethod = []byte("GET ")
	headMeth  = []byte("HEAD ")
	version11 = []byte(" HTTP/1.1")
)

// parseHitRequest makes out what b begins with, and how long that is. It knows
// the strict form of RFC 9112 alone: whatever has two readings is opaque.
func parseHitRequest(b []byte) (q hitRequest, size int, is shape) {
	end := bytes.Index(b, headerEnd)
	if end < 0 {
		return q, 0, opaque
	}
	size = end + len(headerEnd)
	line, rest, _ := bytes.Cut(b[:end+2], headerEnd[:2])
	is = plainGet
	switch {
	case bytes.HasPrefix(line, getMethod):
		line = line[len(getMethod):]
	case bytes.HasPrefix(line, headMeth):
		is, line = bodyless, line[len(headMeth):]
	default:
		return q, 0, opaque
	}
	target, ok := bytes.CutSuffix(line, version11)
	if !ok || !visibleASCII(target) {
		return q, 0, opaque
	}
	if q.target = target; len(target) == 0 || target[0] != '/' {
		is = bodyless
	}
	hosts := 0
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, headerEnd[:2])
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !token(name) || !printable(value) {
			return q, 0, opaque
		}
		value = bytes.Trim(value, " \t")
		switch weigh(name) {
		case isFraming:
			return q, 0, opaque
		case isHost:
			if hosts++; !hostname(value) {
				is = bodyless
			}
		case isConnection:
			if !bytes.EqualFold(value, []byte("keep-alive")) {
				is = bodyless
			}
		case isAgent:
			if q.agent != nil {
				is = bodyless
			}
			q.agent = value
		case isReferer:
			if q.referer != nil {
				is = bodyless
			}
			q.referer = value
		case isForwarded:
			if q.behind != nil || len(value) == 0 {
				is = bodyless // they would have to be joined; a proxy that names nobody is one
			}
			q.behind = value
		case isDirectives:
			// It may be a sibling's: those count otherwise.
			if len(value) >= len("only-if-cached") {
				is = bodyless
			}
		case isMeaningful:
			is = bodyless
		}
	}
	if hosts != 1 {
		is = bodyless
	}
	return q, size, is
}

// weight is what a field means for a hit.
type weight int

const (
	isMeaningful weight = iota // or unknown
	isNothing                  // the answer is the same with it and without
	isFraming                  // it says where the request ends, or what follows it
	isHost
	isConnection
	isAgent
	isReferer
	isDirectives
	isForwarded
)

// weights are the fields that are known, in lower case. A client's Cache-Control does
// not shorten the ages that we go by, and all that is stored has one encoding and
// one language.
var weights = []struct {
	name string
	is   weight
}{
	{"host", isHost}, {"user-agent", isAgent}, {"accept", isNothing}, {"accept-encoding", isNothing}, {"connection", isConnection},
	{"cache-control", isDirectives}, {"pragma", isNothing}, {"accept-language", isNothing}, {"referer", isReferer},
	{"x-forwarded-for", isForwarded}, {"x-forwarded-proto", isNothing}, {"x-forwarded-host", isNothing}, {"x-forwarded-port", isNothing}, {"x-real-ip", isNothing},
	{"content-length", isFraming}, {"transfer-encoding", isFraming}, {"trailer", isFraming}, {"expect", isFraming}, {"upgrade", isFraming},
	{"http2-settings", isFraming},
}

func weigh(name []byte) weight {
	for i := range weights {
		if w := &weights[i]; len(name) == len(w.name) && (name[0]|0x20) == w.name[0] && bytes.EqualFold(name, []byte(w.name)) {
			return w.is
		}
	}
	return isMeaningful
}

// visibleASCII reports whether all of b is visible ASCII.
func visibleASCII(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// printable reports whether b may be a field's value (RFC 9110, 5.5).
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// token reports whether b is a field's name (RFC 9110, 5.6.2).
func token(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false // some more may be, and nobody sends them
		}
	}
	return len(b) > 0
}

// hostname reports whether b is a host with or without a port, as nearly all are.
func hostname(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return len(b) > 0
}

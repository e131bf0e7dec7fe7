package popularity

import (
	"bytes"
	"net/netip"
	"sync/atomic"
)

// format is one of the log formats that a line can have.
type format uint8

const (
	formatNone format = iota
	formatCommon
	formatCombined
	formatImserve
	formatSquid
	formatACNG
	formatJSON
	formats
)

// String is the format's name as the Report has it.
func (f format) String() string {
	return [formats]string{"none", "common", "combined", "imserve", "squid", "apt-cacher-ng", "json"}[f]
}

// entry is what a log line says. Its byte slices point into the line.
type entry struct {
	format  format
	client  []byte // an address or a host name, as the log has it
	at      int64  // seconds since 1970
	method  []byte
	target  []byte // a path or a URL, as the log has it, escaped in the log's way
	status  int
	bytes   int64
	agent   []byte // the User-Agent; empty where the format has none
	aborted bool   // the client left before the end of the answer
	fetched bool   // no client's: the proxy that logs fetched it for itself
	// forwarded is X-Forwarded-For; empty where the line has none.
	forwarded []byte
}

// parser parses lines one after the other. It remembers the last date, which
// thousands of lines have in common. It is not for concurrent use.
type parser struct {
	latest  int64                   // dates after it are absurd
	trusted func(netip.Addr) bool   // whose X-Forwarded-For is believed; nil: nobody's
	fields  *jsonNode               // where JSON lines have what
	memory  *atomic.Pointer[memory] // where clients and targets are looked up
	placer  *placer                 // finds what targets are that are not remembered; nil: nobody
	wanted  []wanted                // what is to be looked up of a block

	lastDate [clfDateLen]byte
	lastAt   int64
	arena    []byte // what an entry's slices point to where the line does not have it as it is
}

// parse reads one line, without its newline, into e, and says why it could not:
// reasonNone, reasonMalformed or reasonDate. Each line is looked at for itself,
// so a file may mix formats.
func (p *parser) parse(line []byte, e *entry) reason {
	*e = entry{}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) == 0 {
		return reasonMalformed
	}
	switch c := line[0]; {
	case c == '{':
		return p.parseJSON(line, e)
	case c > '9': // a host name, mostly
	case looksLikeSquid(line):
		return parseSquid(line, e)
	case looksLikeACNG(line):
		return p.parseACNG(line, e)
	}
	return p.parseCommon(line, e)
}

// cut splits b at the first sep byte; without one, all of b is before.
func cut(b []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

// parseUint reads b, all of it decimal digits and at most 18 of them, which
// cannot overflow.
func parseUint(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseStatus reads an HTTP status code of exactly three digits. Squid writes
// 000 for a request that was never answered.
func parseStatus(b []byte) (int, bool) {
	if len(b) != 3 {
		return 0, false
	}
	n, ok := parseUint(b)
	return int(n), ok && n < 1000
}

// maxClient is the longest client that is taken for one, that of a host name.
const maxClient = 255

// validClient says whether b can be an address or a host name: no control
// characters and no bytes outside ASCII, which only noise has there.
func validClient(b []byte) bool {
	if len(b) == 0 || len(b) > maxClient || (len(b) == 1 && b[0] == '-') {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == '"' {
			return false
		}
	}
	return true
}

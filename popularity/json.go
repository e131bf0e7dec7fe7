package popularity

import (
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/config"
)

// jsonField is what a value of a JSON line is for.
type jsonField int

const (
	jsonClient jsonField = iota
	jsonForwarded
	jsonTime
	jsonMethod
	jsonTarget
	jsonRequest
	jsonStatus
	jsonBytes
	jsonAgent
	jsonFields
)

var jsonNames = [jsonFields]string{
	jsonClient: "client", jsonForwarded: "forwarded", jsonTime: "time", jsonMethod: "method", jsonTarget: "target",
	jsonRequest: "request", jsonStatus: "status", jsonBytes: "bytes", jsonAgent: "agent",
}

// jsonNode is a name in a JSON object: where to go on below it, and what its
// value is for.
type jsonNode struct {
	name  string
	below []*jsonNode
	of    jsonField // valid if place > 0
	place int       // from 1: the lower of two for one field wins
}

// newJSONNode makes the tree of the fields, the preferred first.
func newJSONNode(fields []config.LogField) *jsonNode {
	root := &jsonNode{}
	for i, f := range fields[:min(len(fields), maxJSONPlaces)] {
		n := root
		for name := range strings.SplitSeq(f.Path, ".") {
			n = n.child(name)
		}
		if n.place > 0 {
			continue // twice the same: the first stays
		}
		for of, name := range jsonNames {
			if name == f.Of {
				n.of, n.place = jsonField(of), i+1
			}
		}
	}
	return root
}

func (n *jsonNode) child(name string) *jsonNode {
	if c := n.find([]byte(name)); c != nil {
		return c
	}
	c := &jsonNode{name: name}
	n.below = append(n.below, c)
	return c
}

func (n *jsonNode) find(name []byte) *jsonNode {
	for _, c := range n.below {
		if string(name) == c.name {
			return c
		}
	}
	return nil
}

// maxJSONPlaces is how many values are looked for at most; configurations have
// less.
const maxJSONPlaces = 64

// parseJSON reads a line that is one JSON object, as Caddy writes them and as
// nginx's log_format can (escape=json). Where it has what, the configuration
// says; of an array the first element counts.
func (p *parser) parseJSON(b []byte, e *entry) reason {
	e.format = formatJSON
	if p.fields == nil {
		return reasonMalformed
	}
	l := jsonLine{b: b, keep: p.keep}
	if !l.object(p.fields) || !l.end() {
		return reasonMalformed
	}
	var v [jsonFields][]byte
	p.fields.choose(&l.found, &v)
	return p.fromJSON(&v, e)
}

// choose takes for each field the value of the first place that has one.
func (n *jsonNode) choose(found *[maxJSONPlaces + 1][]byte, v *[jsonFields][]byte) {
	best := [jsonFields]int{}
	var walk func(n *jsonNode)
	walk = func(n *jsonNode) {
		if n.place > 0 && len(found[n.place]) > 0 && !(len(found[n.place]) == 1 && found[n.place][0] == '-') {
			if best[n.of] == 0 || n.place < best[n.of] {
				best[n.of], v[n.of] = n.place, found[n.place]
			}
		}
		for _, c := range n.below {
			walk(c)
		}
	}
	walk(n)
}

// fromJSON makes an entry of a line's values.
func (p *parser) fromJSON(v *[jsonFields][]byte, e *entry) reason {
	e.method, e.target = v[jsonMethod], v[jsonTarget]
	if (e.method == nil || e.target == nil) && !splitRequest(v[jsonRequest], e) {
		return reasonMalformed
	}
	if !validClient(v[jsonClient]) {
		return reasonMalformed
	}
	e.client, e.forwarded, e.agent = v[jsonClient], v[jsonForwarded], v[jsonAgent]
	var ok bool
	if e.status, ok = parseStatus(v[jsonStatus]); !ok {
		return reasonMalformed
	}
	if v[jsonBytes] != nil {
		if e.bytes, ok = parseUint(v[jsonBytes]); !ok {
			return reasonMalformed
		}
	}
	var why reason
	e.at, why = p.anyTime(v[jsonTime])
	return why
}

// anyTime reads a time as JSON lines have it: seconds since 1970, also with a
// fraction, in milli-, micro- or nanoseconds; RFC 3339; the common format's.
func (p *parser) anyTime(b []byte) (int64, reason) {
	if len(b) == clfDateLen && b[2] == '/' {
		return p.date(b)
	}
	whole, _, _ := cut(b, '.')
	if at, ok := parseUint(whole); ok {
		if len(whole) < len(b) {
			if f, err := strconv.ParseFloat(string(b), 64); err != nil || f < 0 {
				return 0, reasonMalformed
			}
		}
		// No time that matters has more than eleven digits of seconds.
		for at >= 1e11 {
			at /= 1000
		}
		return at, reasonNone
	}
	if f, err := strconv.ParseFloat(string(b), 64); err == nil && f >= 0 && f < 1e11 {
		return int64(f), reasonNone // 1.7e+09
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, string(b)); err == nil {
			return at.Unix(), reasonNone
		}
	}
	return 0, reasonMalformed
}

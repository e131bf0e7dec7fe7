package config

import (
	"errors"
	"strings"
)

// Address is where the server listens.
type Address struct {
	HostPort string // the host may be empty, the port 0
	// Plain says that plain HTTP is spoken there also where there is a
	// certificate.
	Plain bool
}

// plainScheme before an address makes it Plain.
const plainScheme = "http://"

// String is a as it is written in a configuration.
func (a Address) String() string {
	if a.Plain {
		return plainScheme + a.HostPort
	}
	return a.HostPort
}

// parseAddress reads an Address.
func parseAddress(s string) (Address, error) {
	hostPort, plain := strings.CutPrefix(s, plainScheme)
	hostPort, err := parseListen(hostPort)
	return Address{HostPort: hostPort, Plain: plain}, err
}

// addresses is a key with one address, or with a list of them.
func addresses(key string, target *[]Address) setting {
	const want = `host:port such as ":3180", or a list of these`
	s := many(key, target, ofString("address", want, parseAddress, Address.String))
	s.kind = "address or list of address"
	list, text := s.set, s.text
	s.set = func(v value) []fault {
		elems, ok := v.v.([]value)
		if !ok {
			if _, ok := v.v.(string); !ok {
				return []fault{refuse(v, errType, want)}
			}
			elems = []value{v}
		}
		if len(elems) == 0 {
			return []fault{{v.line, "an empty list; expected at least one: " + want}}
		}
		seen := map[string]bool{}
		for _, e := range elems {
			s, _ := e.v.(string) // what is none is refused below
			if seen[s] {
				return []fault{refuse(e, errors.New("twice"), want)}
			}
			seen[s] = true
		}
		return list(value{v: elems, line: v.line})
	}
	s.text = func() string {
		if len(*target) == 1 {
			return quote((*target)[0].String())
		}
		return text()
	}
	return s
}

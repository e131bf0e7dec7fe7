package main

import (
	"cmp"
	"slices"
	"strings"
)

// renames are names that others took the place of in Fedora while the history was
// recorded, as the spec files' Obsoletes said.
var renames = map[string]string{
	"iptables-legacy": "iptables",
	"libusb1":         "libusbx",
	"zlib-ng-compat":  "zlib",
}

// inferSources works out which names of the history are built from one source: those
// that came to the same version and release on the same days, in four of five of the
// changes of the one that has fewer. The source has the name that comes first.
func inferSources(changes []change) map[string]string {
	type build struct{ day, evr string }
	of := map[string]map[build]bool{} // by name
	names := map[build][]string{}
	for _, c := range changes {
		dot := strings.LastIndexByte(c.evra, '.')
		if dot < 0 {
			continue
		}
		evr := c.evra[:dot]
		if _, rest, ok := strings.Cut(evr, ":"); ok {
			evr = rest
		}
		b := build{c.at.Format("2006-01-02"), evr}
		if of[c.name] == nil {
			of[c.name] = map[build]bool{}
		}
		if !of[c.name][b] {
			of[c.name][b] = true
			names[b] = append(names[b], c.name)
		}
	}
	shared := map[[2]string]int{}
	for _, list := range names {
		slices.Sort(list)
		for i, a := range list {
			for _, b := range list[i+1:] {
				shared[[2]string{a, b}]++
			}
		}
	}
	source := map[string]string{}
	var root func(name string) string
	root = func(name string) string {
		if up, ok := source[name]; ok && up != name {
			return root(up)
		}
		return name
	}
	pairs := make([][2]string, 0, len(shared))
	for p, n := range shared {
		if 5*n >= 4*min(len(of[p[0]]), len(of[p[1]])) {
			pairs = append(pairs, p)
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	for _, p := range pairs {
		if a, b := root(p[0]), root(p[1]); a != b {
			source[max(a, b)] = min(a, b)
		}
	}
	for name := range of {
		source[name] = root(name)
	}
	return source
}

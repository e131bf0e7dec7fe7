package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// stanza is what a Debian index says of one package, as far as it is of use here.
type stanza struct {
	name, version, arch, source    string
	summary, tags, homepage        string
	maintainer, depends, provides  string
	recommends, conflicts, section string
}

// openIndex is the Packages file at path or, without one, what apt on this machine
// knows of its own distribution.
func openIndex(ctx context.Context, path string) (io.ReadCloser, error) {
	if path != "" {
		return os.Open(path)
	}
	out, err := exec.CommandContext(ctx, "apt-cache", "dumpavail").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-cache dumpavail: %w; on another machine than Debian's name a Packages file with -index", err)
	}
	return io.NopCloser(bytes.NewReader(out)), nil
}

// readIndex reads the first n packages of a Debian index, one of each name.
func readIndex(r io.Reader, n int) ([]stanza, error) {
	var all []stanza
	var s stanza
	seen := map[string]bool{}
	fields := map[string]*string{
		"Package": &s.name, "Version": &s.version, "Architecture": &s.arch, "Source": &s.source,
		"Description": &s.summary, "Tag": &s.tags, "Homepage": &s.homepage, "Maintainer": &s.maintainer,
		"Depends": &s.depends, "Provides": &s.provides, "Recommends": &s.recommends, "Conflicts": &s.conflicts,
		"Section": &s.section,
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	var last *string
	end := func() {
		if s.name != "" && s.version != "" && !seen[s.name] {
			seen[s.name] = true
			all = append(all, s)
		}
		s = stanza{}
	}
	for len(all) < n && lines.Scan() {
		line := lines.Text()
		switch name, value, ok := strings.Cut(line, ":"); {
		case line == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			if last != nil {
				*last += line
			}
		case ok:
			if last = fields[name]; last != nil {
				*last = strings.TrimSpace(value)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	if len(all) < n {
		end()
	}
	if len(all) < n {
		return nil, fmt.Errorf("the index has %d packages of different names, not %d: name another with -index, or less with -packages", len(all), n)
	}
	return all, nil
}

// evr takes a Debian version apart as RPM has it, without dashes inside.
func evr(version string) (epoch, ver, rel string) {
	epoch, rest, ok := strings.Cut(version, ":")
	if !ok {
		epoch, rest = "0", version
	}
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		return epoch, strings.ReplaceAll(rest[:i], "-", "."), rest[i+1:] + ".fc41"
	}
	return epoch, rest, "1.fc41"
}

// relation is an entry of a list of dependencies.
type relation struct{ name, flags, version string }

// flagsOf are RPM's flags by Debian's operators.
var flagsOf = map[string]string{"<<": "LT", "<=": "LE", "=": "EQ", ">=": "GE", ">>": "GT"}

// relations reads a list of dependencies; of alternatives the first counts.
func relations(list string) []relation {
	var all []relation
	for one := range strings.SplitSeq(list, ",") {
		first, _, _ := strings.Cut(one, "|")
		name, version, _ := strings.Cut(strings.TrimSpace(first), " ")
		name, _, _ = strings.Cut(name, ":") // "python3:any"
		if name == "" {
			continue
		}
		r := relation{name: name}
		if op, v, ok := strings.Cut(strings.Trim(version, "( )"), " "); ok {
			r.flags, r.version = flagsOf[op], v
		}
		all = append(all, r)
	}
	return all
}

// rpmArch is what RPM calls an architecture of Debian's.
func rpmArch(arch string) string {
	switch arch {
	case "all":
		return "noarch"
	case "amd64":
		return "x86_64"
	}
	return cmp.Or(arch, "x86_64")
}

// Package testrepo makes real RPM repositories and an upstream that can be told
// to misbehave, for tests and for the demonstration.
//
// Build turns a list of Specs into packages that rpm and dnf install, with
// their repodata; Campus is a list of more than two hundred that looks like a
// university's, and Overnight what a distribution pushes to it in a night.
// Upstream serves such a tree over HTTP, counts and records what it was asked,
// and fails in the ways that real mirrors fail in (Fault); Start puts it on a
// loopback port that can go out of reach and come back. Traffic invents the
// requests of the site's clients, and WriteLog writes them as the log of any
// of the programs that imsync reads. Program, Lacking and Shared are for what a test
// needs of the machine that it runs on.
//
// All of it is a function of its arguments: the same specs, options and seed
// give the same bytes on any day and machine.
//
// Read spec.go and build.go first, then upstream.go and fault.go.
package testrepo

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Spec describes one package.
type Spec struct {
	Name, Version, Release string
	Arch                   string // "" is x86_64
	Epoch                  int
	Size                   int // bytes of the payload file, which no compression makes smaller; 0: no such file
	// Dependencies as rpm writes them: "foo", "foo >= 1:1.2-3", "libfoo.so.1()(64bit)",
	// "/usr/bin/sh". Each package provides its own name and version by itself.
	Requires, Provides, Obsoletes, Conflicts, Recommends []string
	// Files are absolute paths of small files that the package holds beside the
	// payload file; one that ends in a slash is a directory.
	Files   []string
	Summary string
	Source  string // name of the source package; "" is Name
	// BuildTime is in the header, and the modification time of the package file.
	// Another one gives another payload, so that it is also the way to the same
	// name, version and release with other bytes. Zero is 2024-11-01.
	BuildTime time.Time
}

// defaultBuildTime is the build time of a Spec that names none. It is past on
// every machine that this runs on: a Last-Modified in the future would be ignored.
var defaultBuildTime = time.Date(2024, time.November, 1, 12, 0, 0, 0, time.UTC)

func (s Spec) arch() string {
	if s.Arch == "" {
		return "x86_64"
	}
	return s.Arch
}

func (s Spec) source() string {
	if s.Source == "" {
		return s.Name
	}
	return s.Source
}

func (s Spec) buildTime() time.Time {
	if s.BuildTime.IsZero() {
		return defaultBuildTime
	}
	return s.BuildTime.UTC().Truncate(time.Second)
}

// EVR is "epoch:version-release", without an epoch of 0.
func (s Spec) EVR() string {
	evr := s.Version + "-" + s.Release
	if s.Epoch != 0 {
		evr = strconv.Itoa(s.Epoch) + ":" + evr
	}
	return evr
}

// NEVRA is the package's full name, as dnf takes it.
func (s Spec) NEVRA() string { return s.Name + "-" + s.EVR() + "." + s.arch() }

// Filename is the package file's base name, which has no epoch.
func (s Spec) Filename() string {
	return s.Name + "-" + s.Version + "-" + s.Release + "." + s.arch() + ".rpm"
}

// Location is where Build puts the package file below its directory, with
// slashes: "Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm".
func (s Spec) Location() string {
	return path.Join("Packages", strings.ToLower(s.Name[:1]), s.Filename())
}

// payloadPath is the path of the payload file when the package is installed.
func (s Spec) payloadPath() string {
	return "/usr/share/" + s.Name + "/" + strings.TrimSuffix(s.Filename(), ".rpm") + ".dat"
}

// check says why s cannot be built.
func (s Spec) check() error {
	for _, f := range []struct{ field, value string }{
		{"name", s.Name}, {"version", s.Version}, {"release", s.Release}, {"arch", s.arch()},
	} {
		if f.value == "" {
			return fmt.Errorf("no %s", f.field)
		}
		if strings.ContainsAny(f.value, "/ \t\n") {
			return fmt.Errorf("%s %q: a slash or white space", f.field, f.value)
		}
	}
	if strings.Contains(s.Version+s.Release, "-") {
		return fmt.Errorf("version %q, release %q: a hyphen", s.Version, s.Release)
	}
	if s.Size < 0 || s.Epoch < 0 {
		return errors.New("a negative size or epoch")
	}
	seen := make(map[string]bool)
	for _, f := range s.Files {
		name := strings.TrimSuffix(f, "/")
		if !path.IsAbs(name) || path.Clean(name) != name {
			return fmt.Errorf("file %q: not a clean absolute path", f)
		}
		if seen[name] {
			return fmt.Errorf("file %q: listed twice", f)
		}
		seen[name] = true
	}
	return nil
}

// dep is one dependency, taken apart.
type dep struct {
	name  string
	op    string // "", "<", "<=", "=", ">=", ">"
	epoch string
	ver   string
	rel   string
}

// parseDep reads "name", "name OP [epoch:]version[-release]", or a rich
// dependency in parentheses, which stays one name.
func parseDep(s string) (dep, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "(") {
		return dep{name: s}, nil
	}
	f := strings.Fields(s)
	switch len(f) {
	case 1:
		return dep{name: f[0]}, nil
	case 3:
	default:
		return dep{}, fmt.Errorf("dependency %q: want \"name\" or \"name OP version\"", s)
	}
	d := dep{name: f[0], op: f[1], epoch: "0"}
	if _, ok := opFlags[d.op]; !ok {
		return dep{}, fmt.Errorf("dependency %q: operator %q is none of < <= = >= >", s, d.op)
	}
	evr := f[2]
	if e, rest, ok := strings.Cut(evr, ":"); ok {
		d.epoch, evr = e, rest
	}
	d.ver, d.rel, _ = strings.Cut(evr, "-")
	return d, nil
}

// opFlags are the operators of a dependency, as primary.xml calls them.
var opFlags = map[string]string{"<": "LT", "<=": "LE", "=": "EQ", ">=": "GE", ">": "GT"}

// evr is the version of a dependency as the RPM header has it.
func (d dep) evr() string {
	v := d.ver
	if d.rel != "" {
		v += "-" + d.rel
	}
	if d.epoch != "" && d.epoch != "0" {
		v = d.epoch + ":" + v
	}
	return v
}

// parseDeps reads a list, each dependency once.
func parseDeps(list []string) ([]dep, error) {
	var out []dep
	seen := make(map[dep]bool)
	for _, s := range list {
		d, err := parseDep(s)
		if err != nil {
			return nil, err
		}
		if !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out, nil
}

package testrepo

import (
	_ "embed"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed campus.txt
var campusTable string

// Sizes of payloads, in bytes.
const (
	minSize    = 2 << 10
	maxSize    = 20 << 20
	medianSize = 60e3
	sizeSigma  = 1.7 // of the logarithm: a few large ones hold most of the bytes
)

// Campus is a repository of more than two hundred packages, as a university's
// workstations have them: the kernel, mplayer with a dependency closure that is
// three levels deep, vlc, gstreamer1-*, a desktop, compilers, -devel and -doc
// packages. Whatever one of them needs, another provides. Payloads are of 2 KB
// to 20 MB, log-normal; together they are about 160 MB (see Small). The seed
// decides the sizes that the table leaves open, and the build times, which lie
// in the ten days before 2024-11-01.
func Campus(seed uint64) []Spec {
	entries, err := parseCampus(campusTable)
	if err != nil {
		// The table is part of the program, and a test reads it.
		panic(err)
	}
	specs := make([]Spec, len(entries))
	for i, e := range entries {
		s := e.Spec
		// A package is drawn by its name: a new one in the table moves no other.
		r := namedRand(seed, "campus", s.Name)
		drawn := int(medianSize * math.Exp(sizeSigma*r.NormFloat64()))
		if s.Size == 0 {
			s.Size = min(max(drawn, minSize), maxSize)
		}
		s.BuildTime = defaultBuildTime.Add(-time.Duration(namedRand(seed, "built", s.source()).IntN(10*24)) * time.Hour)
		specs[i] = s
	}
	return specs
}

// Small is the same packages with payloads of a hundredth of the size, 2 KB at
// least.
func Small(specs []Spec) []Spec {
	out := slices.Clone(specs)
	for i := range out {
		if out[i].Size > 0 {
			out[i].Size = max(out[i].Size/100, min(out[i].Size, minSize))
		}
	}
	return out
}

// namedRand is a source of random numbers for one purpose and name.
func namedRand(seed uint64, purpose, name string) *rand.Rand {
	h := fnv.New64a()
	// Write of a hash never fails.
	_, _ = fmt.Fprintf(h, "%s %s", purpose, name)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// campusEntry is one package of the table.
type campusEntry struct {
	Spec
	wanted bool
}

// parseCampus reads the table; its form is described at its top.
func parseCampus(table string) ([]campusEntry, error) {
	var out []campusEntry
	bare := make(map[string]bool)
	var beside [][2]string // -devel and -doc: the package, the suffix
	for n, line := range strings.Split(table, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "  "); ok {
			if len(out) == 0 {
				return nil, fmt.Errorf("line %d: belongs to no package", n+1)
			}
			if err := out[len(out)-1].add(rest); err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return nil, fmt.Errorf("line %d: want a name and a version", n+1)
		}
		e := campusEntry{Spec: Spec{Name: f[0]}}
		d, err := parseDep("x = " + f[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		e.Version, e.Release = d.ver, d.rel
		if e.Epoch, err = strconv.Atoi(d.epoch); err != nil {
			return nil, fmt.Errorf("line %d: epoch: %w", n+1, err)
		}
		for _, flag := range f[2:] {
			key, value, _ := strings.Cut(flag, "=")
			switch key {
			case "noarch":
				e.Arch = "noarch"
			case "bare":
				bare[e.Name] = true
			case "wanted":
				e.wanted = true
			case "devel", "doc":
				beside = append(beside, [2]string{e.Name, key})
			case "source":
				e.Source = value
			case "size":
				if e.Size, err = strconv.Atoi(value); err != nil {
					return nil, fmt.Errorf("line %d: %w", n+1, err)
				}
			default:
				return nil, fmt.Errorf("line %d: unknown flag %q", n+1, flag)
			}
		}
		out = append(out, e)
	}
	for i, e := range out {
		if e.Arch != "noarch" && !bare[e.Name] {
			out[i].Requires = append(out[i].Requires, "libc.so.6()(64bit)")
		}
	}
	return withSubpackages(out, beside), nil
}

// withSubpackages adds the -devel and -doc packages.
func withSubpackages(entries []campusEntry, beside [][2]string) []campusEntry {
	byName := make(map[string]Spec, len(entries))
	for _, e := range entries {
		byName[e.Name] = e.Spec
	}
	for _, b := range beside {
		base, suffix := byName[b[0]], b[1]
		sub := Spec{
			Name: base.Name + "-" + suffix, Version: base.Version, Release: base.Release,
			Epoch: base.Epoch, Source: base.source(), Arch: base.Arch,
		}
		if suffix == "doc" {
			sub.Arch = "noarch"
		} else {
			sub.Requires = []string{base.Name + " = " + base.EVR()}
		}
		entries = append(entries, campusEntry{Spec: sub})
	}
	return entries
}

// add reads one indented line of the table.
func (e *campusEntry) add(line string) error {
	word, list, _ := strings.Cut(line, " ")
	var to *[]string
	switch word {
	case "needs":
		to = &e.Requires
	case "gives":
		to = &e.Provides
	case "likes":
		to = &e.Recommends
	case "files":
		to = &e.Files
	default:
		return fmt.Errorf("%q: none of needs, gives, likes, files", word)
	}
	for item := range strings.SplitSeq(list, ";") {
		*to = append(*to, strings.ReplaceAll(strings.TrimSpace(item), "{evr}", e.EVR()))
	}
	return nil
}

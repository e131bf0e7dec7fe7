package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/repodata"
	imsync "intelligentmirror/sync"
)

// root is the repository of the trace.
const root = "fedora/updates/41/Everything/x86_64"

// release is one version of a package.
type release struct {
	at   time.Time
	path string
	size int64
}

// pack is a package with all of its versions, the oldest first.
type pack struct {
	name, arch string
	source     string // what it is built from
	popularity int    // its place in the order of popularity, from 0
	// added says that it came to the distribution while the history was recorded, and
	// obsoletes which name it took the place of.
	added     bool
	obsoletes string
	releases  []release
}

// newest is the number of the version that is the newest at that time, -1 for none.
func (p *pack) newest(at time.Time) int {
	n, _ := slices.BinarySearchFunc(p.releases, at, func(r release, t time.Time) int { return cmp.Or(r.at.Compare(t), -1) })
	return n - 1
}

// change is a line of the history: a package that went to a new version, or was added.
type change struct {
	at         time.Time
	name, evra string
	added      bool
}

// random is a stream of numbers that depends on the seed and on what it is for.
func random(seed uint64, of ...string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, s := range of {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// readChanges reads when which package changed or was added, and leaves out what was
// removed.
func readChanges(dir string) (all []change, err error) {
	f, err := os.Open(filepath.Join(dir, "fedora-package-updates.tsv.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		part := strings.Split(lines.Text(), "\t")
		if len(part) != 4 || part[3] == "-" {
			continue
		}
		at, err := time.Parse(time.RFC3339, part[0])
		if err != nil {
			continue // the heading
		}
		all = append(all, change{at.UTC(), part[1], part[3], part[2] == "-"})
	}
	return all, lines.Err()
}

// readOrder reads the names of packages in the order of their popularity.
func readOrder(dir string) (names []string, err error) {
	f, err := os.Open(filepath.Join(dir, "popularity-contest.stretch"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	_, list, ok := strings.Cut(string(text), "*/")
	if !ok {
		return nil, errors.New("the popularity order has no heading")
	}
	return strings.Fields(list), nil
}

// spread is over how many days before it was recorded a change may have been
// published: the record is a fortnight's.
const spread = 14

// packages makes the packages of the trace: those of the history, and tail more that
// stand further down in the order of popularity and change when one of the others
// does. What is built from one source, as sources has it for these, changes together.
func packages(seed uint64, changes []change, order []string, tail int, sources map[string]string) []*pack {
	place := map[string]int{}
	for i, name := range order {
		place[name] = i
	}
	byName := map[string][]change{}
	var names []string
	for _, c := range changes {
		if byName[c.name] == nil {
			names = append(names, c.name)
		}
		byName[c.name] = append(byName[c.name], c)
	}
	type placed struct {
		*pack
		at float64
	}
	var all []placed
	add := func(name, source string, at float64, history []change, shift int) {
		p := &pack{name: name, source: source, obsoletes: renames[name]}
		var last repodata.EVR
		base, sigma := typicalSize(seed, name), random(seed, "growth", name)
		for _, c := range history {
			dot := strings.LastIndexByte(c.evra, '.')
			if dot < 0 {
				continue
			}
			evr := repodata.ParseEVR(c.evra[:dot])
			if p.releases != nil && evr.Compare(last) <= 0 {
				continue // taken back
			}
			last, p.arch = evr, c.evra[dot+1:]
			// What one build made comes together, with a push in the early night.
			evr.Epoch = 0
			when := random(seed, "published", c.at.String(), evr.String())
			published := c.at.AddDate(0, 0, -shift-when.IntN(spread)).Truncate(24 * time.Hour).Add(time.Duration(when.IntN(2*3600)) * time.Second)
			if n := len(p.releases); n > 0 && !published.After(p.releases[n-1].at) {
				published = p.releases[n-1].at.AddDate(0, 0, 1)
			}
			file := fmt.Sprintf("%s-%s.%s.rpm", name, evr, p.arch)
			p.releases = append(p.releases, release{
				published, root + "/Packages/" + strings.ToLower(name[:1]) + "/" + file, int64(base * math.Exp(0.05*sigma.NormFloat64())),
			})
		}
		if p.releases != nil {
			p.added = source != "" && shift == 0 && history[0].added
			all = append(all, placed{p, at})
		}
	}
	inferred := inferSources(changes)
	for _, name := range names {
		at, ok := place[name]
		if !ok {
			// Named otherwise there: somewhere among the first.
			at = random(seed, "place", name).IntN(3000)
		}
		add(name, inferred[name], float64(at), byName[name], 0)
	}
	picks := random(seed, "tail")
	for i := range tail {
		// Ever sparser, down to the end of the order.
		at := 500 * math.Pow(float64(len(order)-1)/500, (float64(i)+picks.Float64())/float64(tail))
		name := order[int(at)]
		if byName[name] != nil {
			continue
		}
		source := cmp.Or(sources[name], name)
		like := random(seed, "like", source)
		byName[name] = byName[names[like.IntN(len(names))]]
		add(name, "debian:"+source, at, byName[name], 1+like.IntN(29))
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	packs := make([]*pack, len(all))
	for i, p := range all {
		p.popularity = i
		packs[i] = p.pack
	}
	return packs
}

// large are packages whose size everybody knows, in bytes.
var large = map[string]float64{
	"linux-firmware": 250e6, "kernel-core": 18e6, "kernel-modules": 60e6, "kernel-modules-core": 32e6, "kernel-debuginfo": 600e6,
	"kernel": 150e3, "glibc": 2.2e6, "systemd": 4.5e6, "podman": 16e6, "moby-engine": 50e6, "docker": 40e6, "golang": 90e6,
}

// typicalSize is how large a package is, in bytes: most are small.
func typicalSize(seed uint64, name string) float64 {
	if size, ok := large[name]; ok {
		return size
	}
	return min(120e6, max(8e3, 180e3*math.Exp(1.7*random(seed, "size", name).NormFloat64())))
}

// published lists all versions, sorted by time.
func published(packs []*pack) (all []imsync.Published) {
	for _, p := range packs {
		for _, r := range p.releases {
			all = append(all, imsync.Published{At: r.at, Path: r.path, Size: r.size, Source: p.source, Obsoletes: strings.Fields(p.obsoletes)})
		}
	}
	slices.SortStableFunc(all, func(a, b imsync.Published) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Path, b.Path)) })
	return all
}

package testrepo

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Overnight is the repository after a night: the kernel has the next version,
// about one source package in twelve the next version or release, each with all
// its packages and with the dependencies between them. The seed decides which.
// Updated packages were built twenty hours after the newest that was there
// before, so that Overnight of Overnight is the night after. A repository that
// keeps the versions before is built of both lists, one behind the other.
func Overnight(specs []Spec, seed uint64) []Spec {
	var newest time.Time
	for _, s := range specs {
		if s.buildTime().After(newest) {
			newest = s.buildTime()
		}
	}
	built := newest.Add(20 * time.Hour)

	out := slices.Clone(specs)
	renamed := make(map[string]*strings.Replacer) // source package: its versions, old to new
	for source, group := range bySource(specs) {
		if source != "kernel" && !updated(source, seed, built) {
			continue
		}
		var pairs []string
		for _, i := range group {
			s := &out[i]
			was := s.EVR()
			s.Version, s.Release = next(*s, source == "kernel" || namedRand(seed, "bump", source).IntN(3) == 0)
			s.BuildTime = built
			pairs = append(pairs, was, s.EVR())
		}
		renamed[source] = strings.NewReplacer(pairs...)
	}
	for i := range out {
		if r := renamed[out[i].source()]; r != nil {
			out[i].Requires = replaceAll(r, out[i].Requires)
			out[i].Provides = replaceAll(r, out[i].Provides)
		}
	}
	return out
}

// bySource groups the indices of specs by their source package.
func bySource(specs []Spec) map[string][]int {
	groups := make(map[string][]int)
	for i, s := range specs {
		groups[s.source()] = append(groups[s.source()], i)
	}
	return groups
}

// updated reports whether the night that ends at built brings the source package anew.
func updated(source string, seed uint64, built time.Time) bool {
	return namedRand(seed, "overnight "+strconv.FormatInt(built.Unix(), 10), source).IntN(12) == 0
}

// next is the version and release of the package's update.
func next(s Spec, version bool) (string, string) {
	if !version {
		return s.Version, increment(s.Release, false)
	}
	number, dist, found := strings.Cut(s.Release, ".")
	first := 1
	if n, err := strconv.Atoi(number); err == nil && n >= 100 {
		first = n / 100 * 100 // the kernel's releases begin at 200, 300
	}
	release := strconv.Itoa(first)
	if found {
		release += "." + dist
	}
	return increment(s.Version, true), release
}

// increment adds one to the first number in s, or to the last.
func increment(s string, last bool) string {
	const digits = "0123456789"
	start, end := strings.IndexAny(s, digits), len(s)
	if last {
		end = strings.LastIndexAny(s, digits) + 1
		start = len(strings.TrimRight(s[:end], digits))
	} else if start >= 0 {
		end = len(s) - len(strings.TrimLeft(s[start:], digits))
	}
	if start < 0 || start >= end {
		return s + "1"
	}
	n, err := strconv.ParseUint(s[start:end], 10, 64)
	if err != nil {
		return s + ".1" // a number too large to count on
	}
	return s[:start] + strconv.FormatUint(n+1, 10) + s[end:]
}

func replaceAll(r *strings.Replacer, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = r.Replace(s)
	}
	return out
}

package repodata

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseFilename tells from the name of a package file, without its directory and
// with nothing escaped (but for the `%3a` that apt writes), what the package is:
//
//	name-version-release.arch.rpm                      also .src.rpm and .nosrc.rpm
//	name-oldversion-oldrelease_version-release.arch.drpm
//	name_[epoch:]version[-revision]_arch.deb           also .udeb, .ddeb
//	name-version-rN.apk                                Alpine; the name has no architecture
//	name-[epoch:]version-release-arch.pkg.tar.zst      Arch Linux; also .xz, .gz, .bz2
//
// Anything else is false, signatures beside a package (`.sig`) included. The file
// name of an RPM or a .deb mostly leaves the epoch out.
func ParseFilename(base string) (NEVRA, bool) {
	if !utf8.ValidString(base) || strings.ContainsFunc(base, isNoNameRune) {
		return NEVRA{}, false
	}
	var n NEVRA
	if stem, ok := strings.CutSuffix(base, ".rpm"); ok {
		stem, n.Arch = cutLast(stem, ".")
		n, ok = n.dashed(stem)
		return n, ok && n.Arch != ""
	}
	if stem, ok := strings.CutSuffix(base, ".drpm"); ok {
		stem, n.Arch = cutLast(stem, ".")
		n, ok = n.delta(stem)
		return n, ok && n.Arch != ""
	}
	for _, ext := range [...]string{".deb", ".udeb", ".ddeb"} {
		if stem, ok := strings.CutSuffix(base, ext); ok {
			return n.debian(stem)
		}
	}
	if stem, ok := strings.CutSuffix(base, ".apk"); ok {
		n, ok = n.dashed(stem)
		digits, isRev := strings.CutPrefix(n.Release, "r")
		return n, ok && isRev && digits != "" && allDigits(digits)
	}
	if stem, ext := cutLast(base, ".pkg.tar."); ext == "zst" || ext == "xz" || ext == "gz" || ext == "bz2" {
		stem, n.Arch = cutLast(stem, "-")
		n, ok := n.dashed(stem)
		return n, ok && n.Arch != ""
	}
	return NEVRA{}, false
}

func isNoNameRune(r rune) bool { return r == '/' || unicode.IsControl(r) || unicode.IsSpace(r) }

// cutLast cuts s at the last sep, and before is empty where there is none.
func cutLast(s, sep string) (before, after string) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+len(sep):]
}

// dashed completes n from name-version-release.
func (n NEVRA) dashed(stem string) (NEVRA, bool) {
	stem, release := cutLast(stem, "-")
	name, version := cutLast(stem, "-")
	n.Name, n.EVR = name, EVR{Version: version, Release: release}
	if digits, rest, ok := strings.Cut(version, ":"); ok && allDigits(digits) {
		n.Epoch, n.Version = parseEpoch(digits), rest
	}
	return n, n.Name != "" && n.Version != "" && n.Release != ""
}

// delta completes n from the name of a delta package, the version being the one
// that it leads to. Where the old release ends is not marked, since `_` may stand
// in it and in the version; the new version is taken to have as many as the old.
func (n NEVRA) delta(stem string) (NEVRA, bool) {
	stem, release := cutLast(stem, "-")
	stem, middle := cutLast(stem, "-")
	name, old := cutLast(stem, "-")
	parts := strings.Split(middle, "_")
	from := max(len(parts)-1-strings.Count(old, "_"), 1)
	if from >= len(parts) {
		return NEVRA{}, false
	}
	version := strings.Join(parts[from:], "_")
	n, ok := n.dashed(name + "-" + version + "-" + release)
	return n, ok && old != "" && parts[0] != ""
}

// debian completes n from name_version_arch.
func (n NEVRA) debian(stem string) (NEVRA, bool) {
	stem, n.Arch = cutLast(stem, "_")
	name, version, ok := strings.Cut(stem, "_")
	n.Name = name
	n.EVR = ParseEVR(strings.NewReplacer("%3a", ":", "%3A", ":").Replace(version))
	ok = ok && n.Name != "" && n.Version != "" && n.Arch != ""
	return n, ok
}

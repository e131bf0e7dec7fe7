package repodata

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrLocation is why CheckLocation refuses a location.
var ErrLocation = errors.New("leads out of the repository or cannot be a file's name")

// errStray is an ErrLocation that no tool writes by mistake: it climbs, or names a host.
var errStray = fmt.Errorf("%w", ErrLocation)

// maxSegment is the longest file name that Linux's file systems take, in bytes, and
// maxLocation the longest path, with a quarter left for where the repository is.
const (
	maxSegment  = 255
	maxLocation = 3 << 10
)

// CheckLocation reports whether href, a location from metadata, names a file
// below the repository's root wherever it is joined to a URL or a directory: it
// is relative and clean, has no `..`, no scheme, no host, no query, is valid
// UTF-8 without control characters, and none of this changes when it is percent
// decoded. It returns href, with a leading `./` taken off since some tools write
// one. The error wraps ErrLocation.
func CheckLocation(href string) (string, error) {
	loc := strings.TrimPrefix(href, "./")
	// RFC 3986 reads a colon in the first segment as a scheme's end; such a file
	// has to be written `a%3Ab`.
	if hasScheme(loc) {
		return "", fmt.Errorf("location %.200q: a URL with a scheme: %w", href, errStray)
	}
	if why := locationFault(loc); why != "" {
		return "", fmt.Errorf("location %.200q: %s: %w", href, why, strayOr(why))
	}
	// A client or a cache decodes what it joins, so the decoded form has to be as
	// harmless. A `%` that introduces no escape stands for itself.
	if strings.Contains(loc, "%") {
		if strings.Contains(strings.ToLower(loc), "%2f") {
			return "", fmt.Errorf("location %.200q: an escaped slash: %w", href, ErrLocation)
		}
		if dec, err := url.PathUnescape(loc); err == nil {
			if why := locationFault(dec); why != "" {
				return "", fmt.Errorf("location %.200q: %s once it is decoded: %w", href, why, strayOr(why))
			}
		}
	}
	return loc, nil
}

// checkPackage is CheckLocation for a package. The file by which a repository is found,
// and what lies beside it, is no package: as one, it would become current by itself.
func checkPackage(href string) (string, error) {
	loc, err := CheckLocation(href)
	if err != nil {
		return "", err
	}
	dec, err := url.PathUnescape(loc)
	if err != nil {
		dec = loc
	}
	switch base := path.Base(dec); {
	case path.Base(path.Dir(dec)) == "repodata", base == "InRelease", base == "Release", base == "Release.gpg":
		return "", fmt.Errorf("location %.200q: a metadata file's: %w", href, ErrLocation)
	}
	return loc, nil
}

// climbs is the fault of a path that leads upwards.
const climbs = "`..`"

// strayOr is errStray for a path that climbs, ErrLocation for any other fault.
func strayOr(why string) error {
	if why == climbs {
		return errStray
	}
	return ErrLocation
}

// locationFault is what is wrong with loc, "" if nothing.
func locationFault(loc string) string {
	switch {
	case loc == "":
		return "empty"
	case loc[0] == '/':
		return "absolute"
	case !utf8.ValidString(loc):
		return "not UTF-8"
	case strings.ContainsFunc(loc, unicode.IsControl):
		return "a control character"
	case strings.ContainsAny(loc, `\?#`):
		return "a backslash, a query or a fragment"
	case strings.HasSuffix(loc, "/") || loc == ".":
		return "a directory"
	}
	if len(loc) > maxLocation {
		return "a path over 3 KiB"
	}
	for name := range strings.SplitSeq(loc, "/") {
		if name == ".." {
			return climbs
		}
		if len(name) > maxSegment {
			return "a name over 255 bytes"
		}
	}
	if path.Clean(loc) != loc {
		return "not a clean path"
	}
	return ""
}

// hasScheme reports whether s begins as an absolute URL does.
func hasScheme(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c == ':':
			return i > 0
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return false
}

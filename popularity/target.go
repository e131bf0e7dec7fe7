package popularity

import (
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// maxPath is the longest path that is taken for a file's: Linux's PATH_MAX.
const maxPath = 4096

// splitTarget takes a request's target apart: the host, in lower case and
// without the port of http or https, and the path, still escaped and without a
// query. The host is empty for the origin form (/path). Any other form than
// that and an http or https URL is refused.
func splitTarget(target string) (host, path string, ok bool) {
	if !strings.HasPrefix(target, "/") {
		scheme, rest, found := strings.Cut(target, "://")
		if !found || (!strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https")) {
			return "", "", false
		}
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		host, target = rest[:end], rest[end:]
		host = strings.ToLower(host[strings.LastIndexByte(host, '@')+1:])
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
		if host == "" {
			return "", "", false
		}
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	if target == "" {
		target = "/"
	}
	return host, target, true
}

// cleanPath decodes an escaped path exactly once and cleans it: no leading
// slash, no `.`, `..` or double slash, so that two spellings of one file are
// one. It refuses what internal/cache does not store either: an escaped slash,
// a directory, control characters, what is not UTF-8, names over 255 bytes.
func cleanPath(escaped string) (string, bool) {
	if len(escaped) > maxPath {
		return "", false
	}
	if p := strings.TrimPrefix(escaped, "/"); isClean(p) {
		return p, true
	}
	if strings.HasSuffix(escaped, "/") || strings.Contains(strings.ToLower(escaped), "%2f") {
		return "", false
	}
	p, err := url.PathUnescape(escaped)
	if err != nil {
		return "", false
	}
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" || !utf8.ValidString(p) {
		return "", false
	}
	for i := range len(p) {
		if p[i] < ' ' || p[i] == 0x7f {
			return "", false
		}
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > 255 {
			return "", false
		}
	}
	return p, true
}

// isClean says whether p is a path of plain names, which is what cleanPath makes of
// it: most are, and are not copied three times.
func isClean(p string) bool {
	length := 0 // of the name before i
	for i := range len(p) {
		c := p[i]
		if c == '/' && length > 0 {
			length = 0
			continue
		}
		if c <= ' ' || c >= 0x7f || c == '%' || c == '/' || (c == '.' && length == 0) || length == 255 {
			return false
		}
		length++
	}
	return length > 0
}

// unescapeLog undoes the escapes that Apache and nginx write into a request
// line: \xHH, and a backslash before a quote, a backslash or a C escape.
func unescapeLog(b string) string {
	i := strings.IndexByte(b, '\\')
	if i < 0 {
		return b
	}
	out := []byte(b[:i])
	for ; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'x':
			if i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]) {
				out = append(out, hexValue(b[i+1])<<4|hexValue(b[i+2]))
				i += 2
				continue
			}
			out = append(out, '\\', 'x')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, b[i])
		}
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

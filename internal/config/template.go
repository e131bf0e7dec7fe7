package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Template says where a document about a root is, a metalink or a list of
// mirrors: one URL for all roots, or one for each pattern of a root. The zero
// Template knows of none.
type Template struct {
	rules []rule // the first that matches decides
}

// rule is one line of a Template.
type rule struct {
	pattern string // of a root below its repository
	url     string
	re      *regexp.Regexp
}

// anyRoot is the pattern of a URL that is not in a table.
const anyRoot = "*"

// arches are the names of a root's elements that {arch} stands for.
var arches = [...]string{
	"x86_64", "aarch64", "ppc64le", "s390x", "riscv64", "i386", "i586", "i686", "armhfp", "armv7hl", "ppc64", "loongarch64",
}

// placeholder is a name in braces, in a pattern or a URL.
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// Expand is the URL for root, a path below its repository such as
// "updates/41/Everything/x86_64". ok is false where there is none: no pattern
// fits, or the URL has {arch} and the root no architecture. What a root puts
// into the URL is escaped: roots come from the logs, and are anyone's.
func (t Template) Expand(root string) (address string, ok bool) {
	return t.expand(root, func(rule) bool { return true })
}

// Find is the longest root above a file that t knows a document of, by the
// file's path below its repository. A pattern with `*` fits any directory; it
// counts for the one that looks like a root alone: that above the last repodata
// or, in a path without one, above the first Packages.
func (t Template) Find(path string) (root, address string, ok bool) {
	if t.IsZero() {
		return "", "", false
	}
	likely, has := likelyRoot(path)
	for dir := path; dir != ""; {
		dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)]
		address, ok := t.expand(dir, func(r rule) bool { return has && dir == likely || !strings.Contains(r.pattern, "*") })
		if ok {
			return dir, address, true
		}
	}
	return "", "", false
}

// likelyRoot is the directory above a file that by the names below it is a root.
func likelyRoot(path string) (root string, ok bool) {
	path = "/" + path
	i := strings.LastIndex(path, "/repodata/")
	if i < 0 {
		i = strings.Index(path, "/Packages/")
	}
	if i < 0 {
		return "", false
	}
	return strings.TrimPrefix(path[:i], "/"), true
}

// expand is Expand by the rules that count.
func (t Template) expand(root string, counts func(rule) bool) (address string, ok bool) {
	for _, r := range t.rules {
		if !counts(r) {
			continue
		}
		m := r.re.FindStringSubmatch(root)
		if m == nil {
			continue
		}
		values := map[string]string{"root": root}
		for name := range strings.SplitSeq(root, "/") {
			if slices.Contains(arches[:], name) {
				values["arch"] = name
			}
		}
		for i, name := range r.re.SubexpNames() {
			if name != "" {
				values[name] = m[i]
			}
		}
		ok := true
		address := placeholder.ReplaceAllStringFunc(r.url, func(p string) string {
			v, has := values[strings.Trim(p, "{}")]
			ok = ok && has
			return escapeValue(v)
		})
		if !ok {
			return "", false
		}
		return address, true
	}
	return "", false
}

// IsZero reports whether t knows of no document at all.
func (t Template) IsZero() bool { return len(t.rules) == 0 }

// hosts calls fn for the host of each document, with its port.
func (t Template) hosts(fn func(host string)) {
	for _, r := range t.rules {
		before, _, _ := strings.Cut(r.url, "?")
		fn(hostOf(before))
	}
}

// escapeValue escapes all but letters, digits, "-_.~" and slashes.
func escapeValue(s string) string {
	return strings.NewReplacer("%2F", "/", "+", "%20").Replace(url.QueryEscape(s))
}

// newRule checks one line of a template.
func newRule(pattern, address string) (rule, error) {
	r := rule{pattern: pattern, url: address}
	if strings.HasPrefix(pattern, "/") || strings.HasSuffix(pattern, "/") {
		return r, errors.New("a root has no slash at its ends")
	}
	names := []string{"root", "arch"}
	var expr strings.Builder
	rest := pattern
	for {
		loc := placeholder.FindStringIndex(rest)
		if loc == nil {
			expr.WriteString(literal(rest))
			break
		}
		name := strings.Trim(rest[loc[0]:loc[1]], "{}")
		if name == "root" || name != "arch" && slices.Contains(names, name) {
			return r, fmt.Errorf("{%s} has a meaning already", name)
		}
		names = append(names, name)
		expr.WriteString(literal(rest[:loc[0]]))
		fmt.Fprintf(&expr, `(?P<%s>[^/]+)`, name)
		rest = rest[loc[1]:]
	}
	re, err := regexp.Compile(`^(?s:` + expr.String() + `)$`)
	if err != nil || strings.ContainsAny(placeholder.ReplaceAllString(pattern, ""), "{}") {
		return r, errors.New("not a pattern of a root")
	}
	r.re = re
	for _, p := range placeholder.FindAllString(address, -1) {
		if !slices.Contains(names, strings.Trim(p, "{}")) {
			return r, fmt.Errorf("%s is not in its pattern", p)
		}
	}
	return r, checkTemplateURL(address)
}

// literal is the regular expression of a pattern's part without placeholders.
func literal(s string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `.*`)
}

// checkTemplateURL checks what is left when the placeholders are filled in.
func checkTemplateURL(address string) error {
	filled := placeholder.ReplaceAllString(address, "x")
	u, err := url.Parse(filled)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isURLHost(u) || strings.ContainsAny(filled, "{}*# ") {
		return errors.New("not a URL with http or https")
	}
	if u.User != nil {
		return errors.New("a URL without user and password")
	}
	// The host is the administrator's to name, never a root's.
	if before, _, _ := strings.Cut(address, "?"); placeholder.MatchString(hostOf(before)) {
		return errors.New("no placeholder in the host")
	}
	return nil
}

// hostOf is the part of a URL between its scheme and its path.
func hostOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// codec reads and writes one kind of value.
type codec[T any] struct {
	kind string // as docs/CONFIGURATION.md names it
	want string // what is expected, for the errors
	read func(v any) (T, error)
	text func(T) string // as TOML
}

// errType is a codec's answer to a value of another TOML type.
var errType = errors.New("wrong type")

// ofString is a codec for what TOML has as a string.
func ofString[T any](kind, want string, parse func(string) (T, error), text func(T) string) codec[T] {
	return codec[T]{
		kind: kind,
		want: want,
		read: func(v any) (T, error) {
			s, ok := v.(string)
			if !ok {
				var zero T
				return zero, errType
			}
			return parse(s)
		},
		text: func(v T) string { return quote(text(v)) },
	}
}

// checked is a codec for a string that is kept as it is, or as parse has it.
func checked(kind, want string, parse func(string) (string, error)) codec[string] {
	return ofString(kind, want, parse, func(s string) string { return s })
}

// oneOf is a codec for a string of a few.
func oneOf(words ...string) codec[string] {
	want := `"` + strings.Join(words, `" or "`) + `"`
	return checked("string", want, func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		return "", errors.New("unknown")
	})
}

// directory is a codec for an absolute path that is not the root's.
func directory() codec[string] {
	return checked("path", `an absolute path such as "/srv/mirror"`, func(s string) (string, error) {
		if err := checkAbsolute(s); err != nil {
			return "", err
		}
		if s = filepath.Clean(s); s == "/" {
			return "", errors.New("not the root directory")
		}
		return s, nil
	})
}

// checkAbsolute refuses what is no absolute path.
func checkAbsolute(s string) error {
	switch {
	case strings.HasPrefix(s, "~"):
		return errors.New(`"~" has no meaning here`)
	case !strings.HasPrefix(s, "/"):
		return errors.New("not absolute")
	case strings.ContainsAny(s, "\x00\r\n"):
		return errors.New("not a path")
	}
	return nil
}

// logFile is a codec for serve.access_log.
func logFile() codec[string] {
	return checked("path", `an absolute path, "-" for standard output, or ""`, func(s string) (string, error) {
		if s == "" || s == StandardOutput {
			return s, nil
		}
		if strings.HasSuffix(s, "/") {
			return "", errors.New("a directory")
		}
		return filepath.Clean(s), checkAbsolute(s)
	})
}

// keyFile is a codec for the name of a file with keys.
func keyFile() codec[string] {
	return checked("path", `an absolute path such as "/etc/pki/rpm-gpg/RPM-GPG-KEY-site"`, func(s string) (string, error) {
		return filepath.Clean(s), checkAbsolute(s)
	})
}

// optionalFile is a codec for the name of a file, or "" for none.
func optionalFile() codec[string] {
	return checked("path", `an absolute path such as "/etc/intelligentmirror/tls.pem", or "" for none`, func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		return filepath.Clean(s), checkAbsolute(s)
	})
}

// fileGlob is a codec for a pattern of file names, as the shell has them.
func fileGlob() codec[string] {
	return checked("file glob", `an absolute path, with "*" if need be, such as "/var/log/squid/access.log*"`, func(s string) (string, error) {
		if _, err := filepath.Match(s, ""); err != nil {
			return "", errors.New("brackets that are not closed")
		}
		return s, checkAbsolute(s)
	})
}

// globQuote makes a glob that matches path alone.
var globQuote = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)

// integer is a codec for a whole number within bounds.
func integer(low, high int) codec[int] {
	return codec[int]{
		kind: "integer",
		want: fmt.Sprintf("a whole number from %d to %d", low, high),
		read: func(v any) (int, error) {
			n, ok := v.(int64)
			if !ok {
				return 0, errType
			}
			if n < int64(low) || n > int64(high) {
				return 0, errors.New("out of range")
			}
			return int(n), nil
		},
		text: strconv.Itoa,
	}
}

// boolean is a codec for true and false.
func boolean() codec[bool] {
	return codec[bool]{
		kind: "boolean",
		want: "true or false",
		read: func(v any) (bool, error) {
			b, ok := v.(bool)
			if !ok {
				return false, errType
			}
			return b, nil
		},
		text: strconv.FormatBool,
	}
}

// size is a codec for a size of at least low, as a string or in bytes.
func size(low Size) codec[Size] {
	want := `a size such as "20GiB", "500MB", or a number of bytes`
	if low > 0 {
		want += `, at least "` + low.String() + `"`
	}
	return codec[Size]{
		kind: "size",
		want: want,
		read: func(v any) (Size, error) {
			s, err := textOrInteger(v)
			if err != nil {
				return 0, err
			}
			n, err := ParseSize(s)
			if err == nil && n < low {
				err = errors.New("too small")
			}
			return n, err
		},
		text: func(n Size) string { return quote(n.String()) },
	}
}

// minRate refuses a rate whose unit was forgotten.
const minRate = 1 << 10

// rate is a codec for a rate, as a string or in bytes a second.
func rate() codec[Rate] {
	return codec[Rate]{
		kind: "rate",
		want: `a rate of at least 1KiB/s such as "10MiB/s" (bytes, not bits), or "" for no limit`,
		read: func(v any) (Rate, error) {
			s, err := textOrInteger(v)
			if err != nil {
				return 0, err
			}
			r, err := ParseRate(s)
			if err == nil && r != 0 && r < minRate {
				err = errors.New("too small")
			}
			return r, err
		},
		text: func(r Rate) string { return quote(r.String()) },
	}
}

func textOrInteger(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	}
	return "", errType
}

// duration is a codec for a duration of at least low.
func duration(low Duration) codec[Duration] {
	want := `a duration such as "90s", "12h" or "7d"`
	if low > 0 {
		want += `, at least "` + low.String() + `"`
	}
	return ofString("duration", want, func(s string) (Duration, error) {
		d, err := ParseDuration(s)
		if err == nil && d < low {
			err = errors.New("too short")
		}
		return d, err
	}, Duration.String)
}

// durationOrNever is a duration that "" turns off, which is 0.
func durationOrNever(low Duration) codec[Duration] {
	some := duration(low)
	return ofString("duration", some.want+`, or "" for never`, func(s string) (Duration, error) {
		if s == "" {
			return 0, nil
		}
		return some.read(s)
	}, func(d Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	})
}

func network() codec[netip.Prefix] {
	return ofString("network", `a network such as "10.0.0.0/8" or an address such as "::1"`, parseNetwork, networkText)
}

// pattern is a codec for a pattern of a name.
func pattern() codec[Pattern] {
	return ofString("pattern", `a pattern such as "gstreamer1*"`, parsePattern, patternText)
}

func patternText(p Pattern) string { return string(p) }

// pathPattern is a codec for a pattern of a path, which has a leading slash.
func pathPattern() codec[Pattern] {
	return ofString("pattern", `a pattern of a path such as "*.rpm" or "*/repodata/*"`, func(s string) (Pattern, error) {
		if s != "" && !strings.HasPrefix(s, "*") && !strings.HasPrefix(s, "/") {
			return "", errors.New(`it would match no path: each begins with a slash`)
		}
		return parsePattern(s)
	}, patternText)
}

// repoName is a codec for a repository's name, a directory of the cache and
// the first element of its URLs.
func repoName() codec[string] {
	return checked("string", `a name such as "fedora": letters, digits, "-", "_", "." and "+", none of "-._+" first`, func(s string) (string, error) {
		switch {
		case s == "proxy" || s == "-" || s == ".im":
			return "", errors.New("reserved")
		case s == "" || len(s) > 64 || strings.ContainsRune("-._+", rune(s[0])) || strings.Trim(s, nameLetters) != "":
			return "", errors.New("not a name")
		}
		return s, nil
	})
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._+"

// root is a codec for a repository root, its repository's name first. The
// repositories must be known by the time one is read.
func root(c *Config) codec[string] {
	return checked("root", `a root such as "fedora/updates/41/Everything/x86_64"`, func(s string) (string, error) {
		repo, below, _ := strings.Cut(s, "/")
		if repo == "" || below == "" || strings.HasSuffix(s, "/") || strings.ContainsAny(s, "*?#\x00") {
			return "", errors.New("not a root")
		}
		if c.Repo(repo) == nil {
			names := make([]string, len(c.Repos))
			for i := range c.Repos {
				names[i] = c.Repos[i].Name
			}
			return "", fmt.Errorf("no repo %s%s", quote(repo), didYouMean(repo, names))
		}
		return s, checkURLPath("/" + s)
	})
}

// parseArch checks the name of an architecture.
func parseArch(s string) (string, error) {
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "", errors.New("not the name of an architecture")
	}
	return s, nil
}

// quote writes s as a TOML string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

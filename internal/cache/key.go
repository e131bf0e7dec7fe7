package cache

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// Key names a file of the cache: the repository it belongs to and its path
// there, decoded and cleaned, with no leading slash. Two spellings of one URL
// path (`+` and `%2B`, `~` and `%7E`) are one Key, and no Key leads out of its
// repository's directory.
type Key struct {
	Repo string
	Path string
}

// Strangers is the repository under which the files of hosts are stored that are
// no repository's: the path of such a key begins with the host. No configured
// repository can have its name.
const Strangers = "proxy"

// ErrNotAFile is why NewKey refuses a path: it cannot be the name of a plain
// file below the cache directory, so that a request for it is relayed and
// nothing of it is stored.
var ErrNotAFile = errors.New("not the name of a file that can be stored")

// maxName is the longest file name that Linux's file systems take, in bytes.
const maxName = 255

// maxPath is the longest path below the cache directory, in bytes. Linux takes paths of
// 4 KiB in one call: the rest is for the cache directory's own and for what is kept of a
// file below .im. Part by part a longer one could be made; then nothing that walks
// through the cache, as eviction does, could say its name.
const maxPath = 3 << 10

// NewKey makes the key for the path of a URL as it was sent (still escaped) in
// the repository repo. The path is decoded exactly once. The error wraps
// ErrNotAFile.
func NewKey(repo, escaped string) (Key, error) {
	refuse := func(why string) (Key, error) {
		return Key{}, fmt.Errorf("%s/%s: %s: %w", repo, strings.TrimPrefix(escaped, "/"), why, ErrNotAFile)
	}
	if strings.Contains(strings.ToLower(escaped), "%2f") {
		return refuse("an escaped slash")
	}
	p, err := url.PathUnescape(escaped)
	if err != nil {
		return refuse(err.Error())
	}
	if strings.HasSuffix(p, "/") || p == "" {
		return refuse("a directory")
	}
	// Cleaned as an absolute path, so that `..` stops at the repository's top.
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return refuse("a directory")
	}
	if !utf8.ValidString(p) {
		return refuse("not UTF-8")
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f {
			return refuse("a control character")
		}
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > maxName {
			return refuse("a name over 255 bytes")
		}
	}
	if len(repo)+len("/")+len(p) > maxPath {
		return refuse("a path over 3 KiB")
	}
	return Key{Repo: repo, Path: p}, nil
}

// String is the key's path below the cache directory, with slashes.
func (k Key) String() string { return k.Repo + "/" + k.Path }

// EscapedPath is the path as it is written in a URL below a mirror's address.
func (k Key) EscapedPath() string {
	u := url.URL{Path: k.Path}
	// EscapedPath leaves `+` alone, which some object stores read as a space.
	return strings.ReplaceAll(strings.TrimPrefix(u.EscapedPath(), "./"), "+", "%2B")
}

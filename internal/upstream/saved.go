package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// maxMirrors is how many mirrors of a list are asked; the rest is further away.
const maxMirrors = 16

// snapshot is what a list said at a time, in memory and as JSON on the disk. But
// for mirrors it does not change once it is made.
type snapshot struct {
	Repo         string    `json:"repo"`
	Root         string    `json:"root"`
	URL          string    `json:"url"` // of the list
	Fetched      time.Time `json:"fetched"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	// Bases are the addresses of the root, in the order in which they are asked.
	Bases []string `json:"bases"`
	// Current and Alternates are the repomd.xml that the list names; Current is
	// nil where it names none.
	Current    *version  `json:"current,omitempty"`
	Alternates []version `json:"alternates,omitempty"`

	mirrors []*mirror
}

// version is one repomd.xml.
type version struct {
	Size   int64        `json:"size,omitempty"` // bytes, 0 where it is not said
	Digest cache.Digest `json:"digest"`
}

// strong are the digests that are believed, best known first.
var strong = [...]string{"sha256", "sha512", "sha384", "sha224"}

// newVersion is a metalink's version by its best digest; ok is false without one.
func newVersion(v repodata.Version) (version, bool) {
	for _, typ := range strong {
		for _, c := range v.Checksums {
			if c.Type != typ {
				continue
			}
			if d, err := cache.NewDigest(typ, c.Hex); err == nil {
				return version{Size: v.Size, Digest: d}, true
			}
		}
	}
	return version{}, false
}

// is reports whether body is that version.
func (v version) is(body []byte) bool {
	return (v.Size == 0 || v.Size == int64(len(body))) && sumOf(v.Digest, body) == v.Digest
}

// describe takes over what a metalink says.
func (s *snapshot) describe(doc *repodata.Metalink) {
	var bases []string
	for _, u := range doc.URLs {
		if base, ok := strings.CutSuffix(u, "/repodata/repomd.xml"); ok {
			bases = append(bases, base)
		}
	}
	s.Bases = order(bases)
	if v, ok := newVersion(doc.Current); ok {
		s.Current = &v
	}
	for _, a := range doc.Alternates {
		if v, ok := newVersion(a); ok {
			s.Alternates = append(s.Alternates, v)
		}
	}
}

// names reports whether body is the repomd.xml that the list names as the
// current one, and whether it is that or an alternate. A nil snapshot, which
// names none, lists all.
func (s *snapshot) names(body []byte) (current, listed bool) {
	if s == nil {
		return false, true
	}
	if s.Current.is(body) {
		return true, true
	}
	for _, v := range s.Alternates {
		if v.is(body) {
			return false, true
		}
	}
	return false, false
}

// lists reports whether a repomd.xml of that digest may be one that the list
// names: one by a digest of another type can't be compared.
func (s *snapshot) lists(d cache.Digest) bool {
	for _, v := range s.versions() {
		if d == v.Digest || d.Type() != v.Digest.Type() {
			return true
		}
	}
	return false
}

// versions are all that the list names.
func (s *snapshot) versions() []version {
	if s.Current == nil {
		return s.Alternates
	}
	return append([]version{*s.Current}, s.Alternates...)
}

// order is those of a list's addresses that can be asked, best first: with https
// before with http, each in the list's order. A server that has both is asked
// by https alone.
func order(addresses []string) []string {
	var secure, plain []string
	seen := map[string]bool{} // servers with https
	parsed := make([]*url.URL, len(addresses))
	for i, a := range addresses {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			continue
		}
		parsed[i] = u
		if u.Scheme == "https" {
			secure = append(secure, strings.TrimRight(a, "/"))
			seen[u.Hostname()] = true
		}
	}
	for i, u := range parsed {
		if u != nil && u.Scheme == "http" && !seen[u.Hostname()] {
			plain = append(plain, strings.TrimRight(addresses[i], "/"))
		}
	}
	return append(secure, plain...)
}

// listForgotten is how old a saved list that nobody has asked for since is removed.
const listForgotten = 90 * 24 * time.Hour

// maxSaved bounds a saved list, in bytes.
const maxSaved = 8 << 20

// savedPath is where the list of a root is kept.
func (c *Client) savedPath(repo, root string) string {
	sum := sha256.Sum256([]byte(repo + "/" + root))
	return filepath.Join(c.o.Lists, hex.EncodeToString(sum[:16])+".json")
}

// savedOf is the saved lists of a repository; the directory is read once.
func (c *Client) savedOf(repo string) []*snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved == nil {
		c.saved = map[string][]*snapshot{}
		for _, path := range c.savedPaths() {
			s, err := readSnapshot(path)
			switch {
			case err != nil:
				c.o.Log.Warn("a saved list of mirrors can't be read", "file", path, "error", err)
			case c.o.Now().Sub(s.Fetched) > listForgotten:
				os.Remove(path)
			default:
				c.saved[s.Repo] = append(c.saved[s.Repo], s)
			}
		}
	}
	return c.saved[repo]
}

func (c *Client) savedPaths() []string {
	if c.o.Lists == "" {
		return nil
	}
	paths, err := filepath.Glob(filepath.Join(c.o.Lists, "*.json"))
	if err != nil {
		c.o.Log.Warn("the saved lists of mirrors can't be read", "directory", c.o.Lists, "error", err)
	}
	return paths
}

// readSaved is the saved list of a root, nil if there is none that can be read.
func (c *Client) readSaved(repo, root string) *snapshot {
	if c.o.Lists == "" {
		return nil
	}
	s, err := readSnapshot(c.savedPath(repo, root))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.o.Log.Warn("a saved list of mirrors can't be read", "repo", repo, "root", root, "error", err)
		}
		return nil
	}
	return s
}

func readSnapshot(path string) (*snapshot, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxSaved {
		return nil, errors.New("it is too long")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(snapshot)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, err
	}
	for _, v := range s.versions() {
		if !v.Digest.Valid() {
			return nil, fmt.Errorf("%q is no digest of a repomd.xml", v.Digest)
		}
	}
	s.Bases = order(s.Bases)
	return s, nil
}

// save keeps a list for the next start, and for the other program.
func (c *Client) save(s *snapshot) {
	if c.o.Lists == "" {
		return
	}
	if err := c.write(s); err != nil {
		c.o.Log.Warn("a list of mirrors can't be kept", "repo", s.Repo, "root", s.Root, "error", err)
	}
}

func (c *Client) write(s *snapshot) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.o.Lists, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(c.o.Lists, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what the rename has left nothing of
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), c.savedPath(s.Repo, s.Root))
}

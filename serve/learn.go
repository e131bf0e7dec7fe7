package serve

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"intelligentmirror/internal/repodata"
)

// maxLesson bounds the lists of mirrors that are looked through, in bytes.
const maxLesson = 1 << 20

// lesson is a list of mirrors on its way to a client: from it the client goes to
// mirrors of which we may not have heard. What it says is believed in one thing
// alone, that somebody is about to use these roots: their lists are fetched by
// ourselves then, from where the configuration has them.
type lesson struct {
	s     *Server
	repos []string // that have lists on the host which this one is from
	text  bytes.Buffer
	long  bool // too long to be one
}

// lesson is what may be learnt from the answer to a request for t, nil if that is
// nothing.
func (s *Server) lesson(r *http.Request, t target, resp *http.Response) *lesson {
	if t.named == nil || r.Method != http.MethodGet || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
		return nil
	}
	repos := s.o.Config.ListsAt(t.named.Host)
	if len(repos) == 0 {
		return nil
	}
	return &lesson{s: s, repos: repos}
}

// Write implements io.Writer, and takes in what goes to the client.
func (l *lesson) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > maxLesson {
		l.long = true
		l.text.Reset() // an empty one is of no root
	}
	if !l.long {
		l.text.Write(p)
	}
	return len(p), nil
}

// learn begins to fetch the lists of the roots that the document is of.
func (l *lesson) learn() {
	for _, t := range l.anchors() {
		path, err := url.PathUnescape(t.rest)
		if m := l.s.o.Mirrors(t.repo); m != nil && err == nil {
			m.Meet(path)
		}
	}
}

// anchors is the repomd.xml of each root that the document is of, as repositories
// have it that have lists on this host; none where it is no list.
func (l *lesson) anchors() []target {
	const repomd = "/repodata/repomd.xml"
	var addresses []string
	if doc, err := repodata.ParseMetalink(bytes.NewReader(l.text.Bytes())); err == nil {
		addresses = doc.URLs
	} else if urls, err := repodata.ParseMirrorlist(bytes.NewReader(l.text.Bytes())); err == nil {
		addresses = urls
	}
	var found []target
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		// By its path alone: a host that is known need not be learnt.
		path := strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), repomd), "/") + repomd
		repo, rest, ok := l.s.o.Config.Resolve("", path)
		if t := (target{repo: repo, rest: rest}); ok && slices.Contains(l.repos, repo) && !slices.Contains(found, t) {
			found = append(found, t)
		}
	}
	return found
}

package serve

import (
	"bytes"
	_ "embed" // the page
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// wantsListing reports whether a request comes from somebody who looks with a
// browser. Programs that read a directory's index get upstream's, which is whole:
// what is stored would be a part of it.
func wantsListing(r *http.Request) bool {
	if r.URL.RawQuery != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	for _, list := range r.Header["Accept"] {
		for kind := range strings.SplitSeq(list, ",") {
			name, parameters, _ := strings.Cut(kind, ";")
			if strings.EqualFold(strings.TrimSpace(name), "text/html") && strings.ReplaceAll(parameters, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

// upstreamQuery makes the URL of a directory upstream's: one with a query is
// relayed.
const upstreamQuery = "?upstream"

// listing answers with what is stored in the directory t, and reports whether
// there is anything.
func (s *Server) listing(a *answer, t target) bool {
	dir, err := url.PathUnescape(t.rest)
	if err != nil {
		return false
	}
	dir = strings.TrimPrefix(path.Clean("/"+dir), "/")
	entries, err := s.o.Cache.List(t.repo, dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.o.Log.Info("a directory can't be listed", "error", err)
		}
		return false
	}
	if t.rest != "" && !strings.HasSuffix(t.rest, "/") {
		// So that the links lead to the right place.
		a.Header().Set("Location", "./"+url.PathEscape(path.Base(dir))+"/")
		a.text(http.StatusMovedPermanently, cache.Status{}, "It is at /"+path.Join(t.repo, dir)+"/")
		return true
	}
	page := listingPage{Path: "/" + path.Join(t.repo, dir) + "/", Upstream: upstreamQuery, Top: dir == ""}
	for _, e := range entries {
		page.add(e)
	}
	var b bytes.Buffer
	if err := listingTemplate.Execute(&b, page); err != nil {
		a.text(http.StatusInternalServerError, cache.Status{}, "The directory can't be shown: "+err.Error())
		return true
	}
	h := a.Header()
	// Whose request has another Accept gets another answer.
	h.Set("Vary", "Accept")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	a.document("text/html; charset=utf-8", []byte(shown(b.String())))
	return true
}

// listingPage is a directory as its page shows it.
type listingPage struct {
	Path     string
	Upstream string
	Top      bool // a repository's
	Rows     []listingRow
	Files    int64
	Bytes    int64 // of the files
}

// listingRow is a line of it.
type listingRow struct {
	Name, Link, Size, Modified string
	Exact                      int64 // bytes
	Dir                        bool
}

func (p *listingPage) add(e cache.DirEntry) {
	// Behind "./" a name with a colon is no URL with a scheme.
	row := listingRow{Name: e.Name, Link: "./" + url.PathEscape(e.Name), Modified: e.ModTime.UTC().Format(time.DateTime), Dir: e.Dir}
	if e.Dir {
		row.Name += "/"
		row.Link += "/"
	} else {
		row.Size, row.Exact = byteText(e.Size), e.Size
		p.Files++
		p.Bytes += e.Size
	}
	p.Rows = append(p.Rows, row)
}

//go:embed listing.html
var listingHTML string

var listingTemplate = template.Must(template.New("listing").Funcs(template.FuncMap{"bytes": byteText, "count": countText}).Parse(listingHTML))

// robots asks crawlers to stay away: each of their requests would be a download.
func (s *Server) robots(a *answer) {
	if a.readOnly() {
		a.text(http.StatusOK, cache.Status{}, "User-agent: *", "Disallow: /")
	}
}

package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
)

// metalinkPage is below which each root of packages has a metalink: this mirror
// first, public ones behind it, and the digests of each repomd.xml that clients may
// still begin with.
const metalinkPage = setupPath + "metalink/"

// maxPublic is how many public mirrors a metalink names.
const maxPublic = 10

// metalink answers with the metalink of the root that name, still escaped, is of.
func (s *Server) metalink(a *answer, name string) {
	var k cache.Key
	root, err := generation.ParseRoot(name)
	if err == nil {
		k, err = root.Key("repodata/repomd.xml")
	}
	if err != nil || s.o.Config.Repo(k.Repo) == nil {
		a.text(http.StatusNotFound, cache.Status{}, "Not found: there is no such repository.",
			"A metalink is at "+metalinkPage+" and the root: fedora/updates/41/Everything/x86_64.")
		return
	}
	// As a client's own request for it: what is due is asked for upstream, and what
	// goes with it is this client's for some minutes.
	o, err := s.get(a.r.Context(), k, config.Metadata, a.client.String())
	if err != nil {
		s.fail(a, target{repo: k.Repo, rest: strings.TrimPrefix(k.EscapedPath(), "/")}, err)
		return
	}
	defer o.Close()
	var body bytes.Buffer
	n, err := o.SendTo(a.r.Context(), &body, 0, maxEntry)
	if err == nil && n == maxEntry {
		err = errors.New("no such file is as large")
	}
	if err != nil {
		a.text(http.StatusBadGateway, cache.Status{}, "The metadata of "+name+" can't be read ("+err.Error()+").", "Try again.")
		return
	}
	sum := sha256.Sum256(body.Bytes())
	l := metalink{now: s.o.Now(), current: generation.Version{Digest: hex.EncodeToString(sum[:]), Size: n, Modified: o.ModTime()}}
	if r, ok := generation.RootOf(k); ok && s.o.Metadata != nil {
		if l.kept, err = s.o.Metadata.Versions(r); err != nil {
			s.o.Log.Warn("a metalink lacks what is kept", "root", r.String(), "error", err)
		}
	}
	base, _ := s.baseFor(a.r)
	l.urls = append(l.urls, base+"/"+k.Repo+"/"+strings.TrimPrefix(k.EscapedPath(), "/"))
	if m := s.o.Mirrors(k.Repo); m != nil {
		public := m.Public(k)
		l.urls = append(l.urls, public[:min(len(public), maxPublic)]...)
	}
	text, err := l.text()
	if err != nil {
		a.text(http.StatusInternalServerError, cache.Status{}, "This page can't be shown: "+err.Error())
		return
	}
	a.document("application/metalink+xml", text)
}

// metalink is what a metalink says.
type metalink struct {
	now     time.Time
	current generation.Version
	kept    []generation.Version // the last that became current first; current may be among them
	urls    []string             // of repomd.xml, best first
}

// text is the document in version 3, with MirrorManager's element for versions that
// mirrors may still have: what dnf and zypper read.
func (l *metalink) text() ([]byte, error) {
	doc := metalinkXML{
		Version: "3.0", NS: "http://www.metalinker.org/", MM: "http://fedorahosted.org/mirrormanager", Type: "dynamic",
		Date: l.now.UTC().Format(time.RFC1123), Generator: "intelligentmirror",
		File: metalinkFile{Name: "repomd.xml", metalinkVersion: versionXML(l.current)},
	}
	for _, v := range l.kept {
		if v.Digest == l.current.Digest {
			continue
		}
		if doc.File.Alternates == nil {
			doc.File.Alternates = &alternatesXML{}
		}
		doc.File.Alternates.All = append(doc.File.Alternates.All, versionXML(v))
	}
	for i, address := range l.urls {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		doc.File.URLs = append(doc.File.URLs, metalinkURL{u.Scheme, u.Scheme, 100 - i, address})
	}
	text, err := xml.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, err
	}
	return append(append([]byte(xml.Header), text...), '\n'), nil
}

// The document's elements.
type (
	metalinkXML struct {
		XMLName   xml.Name     `xml:"metalink"`
		Version   string       `xml:"version,attr"`
		NS        string       `xml:"xmlns,attr"`
		MM        string       `xml:"xmlns:mm0,attr"`
		Type      string       `xml:"type,attr"`
		Date      string       `xml:"pubdate,attr"`
		Generator string       `xml:"generator,attr"`
		File      metalinkFile `xml:"files>file"`
	}
	metalinkFile struct {
		Name string `xml:"name,attr"`
		metalinkVersion
		Alternates *alternatesXML `xml:"mm0:alternates"`
		URLs       []metalinkURL  `xml:"resources>url"`
	}
	alternatesXML struct {
		All []metalinkVersion `xml:"mm0:alternate"`
	}
	metalinkVersion struct {
		Timestamp int64        `xml:"mm0:timestamp"`
		Size      int64        `xml:"size"`
		Hash      metalinkHash `xml:"verification>hash"`
	}
	metalinkHash struct {
		Type  string `xml:"type,attr"`
		Value string `xml:",chardata"`
	}
	metalinkURL struct {
		Protocol   string `xml:"protocol,attr"`
		Type       string `xml:"type,attr"`
		Preference int    `xml:"preference,attr"`
		Value      string `xml:",chardata"`
	}
)

func versionXML(v generation.Version) metalinkVersion {
	return metalinkVersion{v.Modified.Unix(), v.Size, metalinkHash{"sha256", v.Digest}}
}

package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"intelligentmirror/internal/testrepo"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const metalink3 = `<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="other"><size>1</size><resources><url preference="100">https://o.test/other</url></resources></file>
  <file name="repomd.xml">
   <mm0:timestamp>1737000000</mm0:timestamp>
   <size>4309</size>
   <verification><hash type="md5">AA</hash><hash type="sha256">Bb</hash></verification>
   <mm0:alternates>
    <mm0:alternate>
     <mm0:timestamp>1736000000</mm0:timestamp>
     <size>4308</size>
     <verification><hash type="sha256">cc</hash></verification>
    </mm0:alternate>
    <mm0:alternate><size>7</size><verification><hash type="sha512">dd</hash></verification></mm0:alternate>
   </mm0:alternates>
   <resources maxconnections="1">
    <url protocol="rsync" type="rsync" preference="90">rsync://b.test/x/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="DE" preference="99">https://a.test/x/repodata/repomd.xml?a=1&amp;b=2</url>
    <url protocol="http" preference="90"> http://b.test/x/repodata/repomd.xml
    </url>
    <url>https://last.test/x/repodata/repomd.xml</url>
    <url preference="101">https://nonsense.test/x/repodata/repomd.xml</url>
    <url preference="100"/>
   </resources>
  </file>
  <file name="repomd.xml"><size>2</size></file>
 </files>
</metalink>`

const metalink4 = `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><published>2026-11-01T00:00:00Z</published>
<file name="repomd.xml"><size>10</size><hash type="sha-256">0f</hash>
<url location="de" priority="2">https://b.test/repodata/repomd.xml</url><url priority="1">https://a.test/repodata/repomd.xml</url>
<url priority="0">https://c.test/repodata/repomd.xml</url></file></metalink>`

func TestParseMetalink(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Metalink
	}{
		{"version 3", metalink3, Metalink{
			Current: Version{Timestamp: 1737000000, Size: 4309, Checksums: []Checksum{{"md5", "aa"}, {"sha256", "bb"}}},
			Alternates: []Version{
				{Timestamp: 1736000000, Size: 4308, Checksums: []Checksum{{"sha256", "cc"}}},
				{Size: 7, Checksums: []Checksum{{"sha512", "dd"}}},
			},
			URLs: []string{
				"https://a.test/x/repodata/repomd.xml?a=1&b=2",
				"rsync://b.test/x/repodata/repomd.xml", "http://b.test/x/repodata/repomd.xml",
				"https://last.test/x/repodata/repomd.xml", "https://nonsense.test/x/repodata/repomd.xml",
			},
		}},
		{"version 4", metalink4, Metalink{
			Current: Version{Size: 10, Checksums: []Checksum{{"sha256", "0f"}}},
			URLs: []string{"https://a.test/repodata/repomd.xml", "https://b.test/repodata/repomd.xml",
				"https://c.test/repodata/repomd.xml"},
		}},
		{"a file of which nothing is said", `<metalink><files><file name="repomd.xml"/></files></metalink>`, Metalink{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMetalink(iotest.OneByteReader(strings.NewReader(tt.in)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.want, got); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestParseMetalinkRefuses(t *testing.T) {
	within := func(s string) string {
		return `<metalink><files><file name="repomd.xml">` + s + `</file></files></metalink>`
	}
	for _, tt := range []struct {
		name, in, why string
		is            error
	}{
		{"nothing", "", "", io.ErrUnexpectedEOF},
		{"cut", metalink3[:len(metalink3)-5], "", io.ErrUnexpectedEOF},
		{"a page", "<html></html>", "root element", nil},
		{"a doctype", "<!DOCTYPE html><metalink/>", "", ErrDTD},
		{"an entity bomb", `<!DOCTYPE m [<!ENTITY a "b">]><metalink/>`, "", ErrDTD},
		{"no files", "<metalink/>", "does not describe", nil},
		{"another file", `<metalink><files><file name="primary.xml"/></files></metalink>`, "does not describe", nil},
		{"a size that is none", within("<size>1k</size>"), "size", nil},
		{"a time that is none", within("<timestamp>-1</timestamp>"), "timestamp", nil},
		{"a digest that is none", within(`<verification><hash type="sha256">xyz</hash></verification>`), "hexadecimal", nil},
		{"a digest of no type", within(`<verification><hash>00</hash></verification>`), "checksum", nil},
		{"an alternate's", within(`<alternates><alternate><size>x</size></alternate></alternates>`), "size", nil},
		{"too many alternates", within("<alternates>" + strings.Repeat("<alternate/>", maxAlternates+1) + "</alternates>"), "alternates", nil},
		{"too many addresses", within("<resources>" + strings.Repeat("<url>a</url>", maxURLs+1) + "</resources>"), "addresses", nil},
		{"too long", within(strings.Repeat("<x>some text</x>\n", maxList/17)), "MiB", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMetalink(strings.NewReader(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.why) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%+v, %v; want an error with %q, %v", m, err, tt.why, tt.is)
			}
		})
	}
}

func TestParseMirrorlist(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string // nil with why: refused
		why      string
	}{
		{"a list", "# repo = x arch = y\n\thttps://a.test/x/ \r\n\nhttp://b.test/y\nftp://c.test/z/\n", []string{"https://a.test/x/", "http://b.test/y", "ftp://c.test/z/"}, ""},
		{"nothing", "\n", nil, ""},
		{"what only a client can fill in", "http://a.test/$releasever/\nhttp://b.test/", []string{"http://b.test/"}, ""},
		{"a page", "<!DOCTYPE html>\n<html>", nil, "no URL"},
		{"an answer that is an error", "Bad arguments: no such repo\n", nil, "no URL"},
		{"a path", "/x/y\n", nil, "no URL"},
		{"too many", strings.Repeat("http://a.test/\n", maxURLs+1), nil, "addresses"},
		{"too long", strings.Repeat("#\n", maxList/2+1), nil, "MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMirrorlist(strings.NewReader(tt.in))
			if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) || !slices.Equal(got, tt.want) {
				t.Errorf("%q, %v; want %q, %q", got, err, tt.want, tt.why)
			}
		})
	}
}

func TestRealLists(t *testing.T) {
	dir := testrepo.Shared(t, "metalink")
	open := func(name string) io.Reader {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(b)
	}
	for name, want := range map[string]struct {
		urls, sums int
		first      string
	}{
		"librepo-metalink.xml": {1, 4, "http://127.0.0.1:5000/yum/static/01/repodata/repomd.xml"},
		"metalink_good_01":     {106, 4, "http://mirror.pnl.gov/fedora/linux/releases/17/Everything/x86_64/os/repodata/repomd.xml"},
		"metalink_good_02":     {3, 0, "http://mirrors.syringanetworks.net/fedora/releases/17/Everything/x86_64/os/repodata/repomd.xml"},
		"metalink_good_03":     {0, 0, ""},
	} {
		m, err := ParseMetalink(open(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(m.URLs) != want.urls || len(m.Current.Checksums) != want.sums || want.urls > 0 && m.URLs[0] != want.first {
			t.Errorf("%s: %d addresses, first %q, %+v; want %+v", name, len(m.URLs), m.URLs[:min(1, len(m.URLs))], m.Current, want)
		}
	}
	for name, want := range map[string]int{"mirrorlist": 1, "mirrorlist_01": 2, "mirrorlist_02": 0, "mirrorlist_03": 0} {
		if urls, err := ParseMirrorlist(open(name)); err != nil || len(urls) != want {
			t.Errorf("%s: %q, %v; want %d", name, urls, err, want)
		}
	}
}

// referenceMetalink is ParseMetalink the slow and obvious way: a tree, walked.
func referenceMetalink(data []byte) (*Metalink, error) {
	top, err := parseTree(data)
	if err != nil {
		return nil, err
	}
	var file *node
	for _, root := range top.all("metalink") {
		for _, child := range root.children {
			files := []*node{child}
			if child.name == "files" {
				files = child.children
			}
			for _, f := range files {
				if f.name == "file" && f.local("name") == "repomd.xml" && file == nil {
					file = f
				}
			}
		}
	}
	if file == nil {
		return nil, errors.New("no file")
	}
	m := &Metalink{Current: file.version()}
	for _, n := range file.all("alternates", "alternate") {
		m.Alternates = append(m.Alternates, n.version())
	}
	var urls []*node
	for _, n := range file.children {
		if n.name == "url" {
			urls = append(urls, n)
		}
		if n.name == "resources" {
			urls = append(urls, n.all("url")...)
		}
	}
	slices.SortStableFunc(urls, func(a, b *node) int { return a.rank() - b.rank() })
	for _, n := range urls {
		if u := strings.TrimSpace(n.text); u != "" && len(u) <= maxURLLength {
			m.URLs = append(m.URLs, u)
		}
	}
	return m, nil
}

// local is the first attribute of that name, in whatever namespace.
func (n *node) local(name string) string {
	for _, a := range n.list {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) rank() int {
	var v int
	if _, err := fmt.Sscanf(n.local("preference")+"\n", "%d\n", &v); err == nil && v >= 0 && v <= 100 {
		return 100 - v
	}
	if _, err := fmt.Sscanf(n.local("priority")+"\n", "%d\n", &v); err == nil && v > 0 && v < 1_000_000 {
		return v
	}
	return 1_000_000
}

func (n *node) version() (v Version) {
	for _, c := range n.children {
		switch c.name {
		case "timestamp":
			v.Timestamp, _ = parseCount(c.text)
		case "size":
			v.Size, _ = parseCount(c.text)
		case "hash":
			v.Checksums = append(v.Checksums, c.checksum())
		case "verification":
			for _, h := range c.all("hash") {
				v.Checksums = append(v.Checksums, h.checksum())
			}
		}
	}
	return v
}

func (n *node) checksum() Checksum {
	c, _ := newChecksum(strings.ReplaceAll(n.local("type"), "-", ""), n.text)
	return c
}

// FuzzParseMetalink: what is accepted, encoding/xml reads the same from.
func FuzzParseMetalink(f *testing.F) {
	for _, s := range []string{metalink3, metalink4, "<!DOCTYPE x><metalink/>"} {
		f.Add([]byte(s))
	}
	for _, s := range malformed {
		f.Add([]byte(s))
	}
	if dir := testrepo.FindShared("metalink"); dir != "" {
		names, err := filepath.Glob(filepath.Join(dir, "*metalink*"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseMetalink(bytes.NewReader(data))
		if err != nil {
			return
		}
		want, err := referenceMetalink(data)
		if err != nil {
			t.Fatalf("encoding/xml refuses it: %v", err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("want (-), got (+):\n%s", d)
		}
	})
}

// FuzzParseMirrorlist: what is accepted is URLs, within bounds.
func FuzzParseMirrorlist(f *testing.F) {
	for _, s := range []string{"", "# x\nhttp://a.test/\r\n\nftp://b.test/x", "<html>", "http://a.test/$basearch/"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		urls, err := ParseMirrorlist(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, u := range urls {
			if !strings.Contains(u, "://") || strings.ContainsAny(u, "\n$") || !bytes.Contains(data, []byte(u)) {
				t.Errorf("%q", u)
			}
		}
	})
}

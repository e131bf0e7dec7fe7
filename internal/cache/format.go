package cache

import (
	"bytes"
	"path"
	"strings"
)

// Format is a file format that is told by its first bytes. Where no digest is
// known it is all that keeps the page of a captive portal out of the cache.
type Format int

// The formats that packages and metadata come in.
const (
	// AnyFormat is everything but an HTML page.
	AnyFormat Format = iota
	// RPM begins with the lead's magic number.
	RPM
	// Deb is an ar archive.
	Deb
	// XML begins with a declaration or its root element.
	XML
	// Gzip, Xz, Zstd, Bzip2 and Zchunk are the compressed formats.
	Gzip
	Xz
	Zstd
	Bzip2
	Zchunk
	// HTML is a page that is meant to be one.
	HTML
)

// sniffLen is how many of a file's first bytes decide, unless it is shorter.
const sniffLen = 512

var magic = map[Format]string{
	RPM:    "\xed\xab\xee\xdb",
	Deb:    "!<arch>\n",
	Gzip:   "\x1f\x8b",
	Xz:     "\xfd7zXZ\x00",
	Zstd:   "\x28\xb5\x2f\xfd",
	Bzip2:  "BZh",
	Zchunk: "\x00ZCK1",
}

var extensions = map[string]Format{
	".rpm": RPM, ".drpm": AnyFormat,
	".deb": Deb, ".udeb": Deb,
	".xml": XML,
	".gz":  Gzip, ".xz": Xz, ".zst": Zstd, ".bz2": Bzip2, ".zck": Zchunk,
	".html": HTML, ".htm": HTML,
}

// FormatOf is the format that a path's ending promises.
func FormatOf(p string) Format { return extensions[strings.ToLower(path.Ext(p))] }

// Fits reports whether head, a file's first bytes, can begin a file of this format.
func (f Format) Fits(head []byte) bool {
	if m, ok := magic[f]; ok {
		return bytes.HasPrefix(head, []byte(m))
	}
	if f == HTML {
		return true
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	lower := bytes.ToLower(text)
	if bytes.HasPrefix(lower, []byte("<html")) || bytes.HasPrefix(lower, []byte("<!doctype html")) {
		return false
	}
	if f == XML {
		// A page of XHTML is XML too, and not a repository's.
		return bytes.HasPrefix(text, []byte("<")) && !bytes.Contains(lower, []byte("<html"))
	}
	return true
}

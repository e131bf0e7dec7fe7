package cache

import (
	"net/http"
	"strings"
	"time"
)

// Head is what is known of a body before its bytes: how long it is, and by
// which validators the mirror that sends it will know it again.
type Head struct {
	Length       int64  `json:"length"` // bytes, -1 unknown
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Settled is that the file had not changed for a second when its first byte
	// came: what has its LastModified has its bytes too.
	Settled bool `json:"settled,omitempty"`
	// ModTime and Validated are those of the stored file in another cache that the
	// body is a copy of: its time, and when upstream last said that these are its
	// bytes. Both are zero for a body that is upstream's own.
	ModTime   time.Time `json:"mtime,omitzero"`
	Validated time.Time `json:"validated,omitzero"`
	// Sibling is that another cache of the same site sends it, and not upstream.
	Sibling bool `json:"sibling,omitempty"`
	// Bucket is that the site's object store sends it, and not upstream.
	Bucket bool `json:"bucket,omitempty"`
	// Stated is what the one who sends it has noted of the whole file. It is no
	// promise of metadata's, but a body that does not keep it is damaged.
	Stated Want `json:"stated,omitzero"`
	// Want is what metadata promises of the file that the bytes are meant to
	// become; the Partial sets it.
	Want Want `json:"want,omitzero"`
}

// What of a Head is kept, in bytes, so that an attribute takes it. Addresses
// that are signed for one download are longer, and mean nothing to the next.
const (
	maxValidator = 128
	maxURL       = 512
)

// bounded drops what is too long to be kept. Without its address a validator is
// worth nothing, but for the time, which is the file's.
func (h Head) bounded() Head {
	tag := h.ETag
	if len(h.URL) > maxURL {
		h.URL, h.ETag = "", ""
	}
	h.ETag, h.LastModified = validator(h.ETag), validator(h.LastModified)
	h.Settled = h.Settled && h.ETag == tag // a time is no stand-in for a tag
	return h
}

// validator drops a validator that is too long, or that an attribute could only
// keep in a longer spelling.
func validator(s string) string {
	if len(s) > maxValidator || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return s
}

// modTime is the time that the file has where it comes from; ok is false where
// nobody says.
func (h Head) modTime() (t time.Time, ok bool) {
	if !h.ModTime.IsZero() {
		return h.ModTime, true
	}
	m, err := http.ParseTime(h.LastModified)
	return m, err == nil
}

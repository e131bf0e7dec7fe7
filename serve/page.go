package serve

import (
	"crypto/sha256"
	_ "embed" // the style sheet
	"encoding/hex"
	"net/http"
	"strconv"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/visible"
)

// stylePath is where the style sheet of the server's own pages is.
const stylePath = "/-/style.css"

//go:embed style.css
var styleSheet string

// guard forbids the page that follows all that it does not need: it runs no script
// and loads nothing but this server's own files, and no other page may frame it.
func (a *answer) guard() {
	h := a.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// shown is a page whose names, which are anybody's, have no characters that do not show:
// no name looks like another, or turns what is beside it. Links are escaped already.
func shown(page string) string { return visible.Text(page, "\n\t"+thousands) }

// document answers with a page that is made for this request.
func (a *answer) document(contentType string, body []byte) {
	a.Header().Set("Cache-Control", "no-store")
	a.whole(contentType, body)
}

// asset answers with a file that is the program's: a browser asks whether it has
// changed, and has it again where the program has.
func (a *answer) asset(contentType, body string) {
	sum := sha256.Sum256([]byte(body))
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	h := a.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", tag)
	if a.r.Header.Get("If-None-Match") == tag {
		a.decide(http.StatusNotModified, cache.Status{})
		return
	}
	a.whole(contentType, []byte(body))
}

// whole answers with a body that is in memory.
func (a *answer) whole(contentType string, body []byte) {
	h := a.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	a.decide(http.StatusOK, cache.Status{})
	if a.r.Method != http.MethodHead {
		_, _ = a.Write(body) // a client that has left is noted by Write
	}
}

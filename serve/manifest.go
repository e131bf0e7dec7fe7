package serve

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"intelligentmirror/internal/cache"
)

// manifestLine is a stored file, as /-/manifest has it.
type manifestLine struct {
	Path    string    `json:"path"`   // below the cache directory: the repository's name first
	Size    int64     `json:"size"`   // bytes
	SHA256  string    `json:"sha256"` // in hexadecimal; "" where nobody has computed it
	ModTime time.Time `json:"mtime"`
}

// manifestBuffer is how much of the manifest goes out at once, in bytes.
const manifestBuffer = 64 << 10

// manifest answers with all that is stored, a JSON object a line, in the order of
// the paths, as the disk is read: it is as long as the cache is large, and is
// never whole in memory.
func (s *Server) manifest(a *answer) {
	h := a.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	a.decide(http.StatusOK, cache.Status{})
	if a.r.Method == http.MethodHead {
		return
	}
	b := bufio.NewWriterSize(a, manifestBuffer)
	to := json.NewEncoder(b)
	to.SetEscapeHTML(false)
	err := s.o.Cache.Walk(a.r.Context(), func(k cache.Key, f cache.Facts) error {
		return to.Encode(manifestLine{Path: k.String(), Size: f.Size, SHA256: f.SHA256.Hex(), ModTime: f.ModTime.UTC()})
	})
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		return
	}
	// A part of it must not look like all of it: what is not listed, a replica deletes.
	if !a.gone() {
		s.o.Log.Warn("the manifest was broken off", "error", err)
	}
	a.abort()
}

package serve

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"intelligentmirror/internal/cache"
	"intelligentmirror/popularity"
)

// counts answers with what imsync has counted here, for other machines of its group:
// the file that it has written last.
func (s *Server) counts(a *answer) {
	f, err := os.Open(filepath.Join(s.o.Config.StateDir, popularity.CountsFile))
	if errors.Is(err, fs.ErrNotExist) {
		a.text(http.StatusNotFound, cache.Status{}, "Not found: imsync has written no counts here.",
			"It does with sync.group_key in its configuration, at each run.")
		return
	}
	var info os.FileInfo
	if err == nil {
		defer f.Close()
		info, err = f.Stat()
	}
	if err != nil {
		s.o.Log.Warn("the counts can't be read", "error", err)
		a.text(http.StatusInternalServerError, cache.Status{}, "The counts can't be read: "+err.Error())
		return
	}
	h := a.Header()
	h.Set("Content-Type", "application/gzip")
	h.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	h.Set("Cache-Control", "no-store")
	a.decide(http.StatusOK, cache.Status{})
	if a.r.Method == http.MethodHead {
		return
	}
	if _, err := a.ReadFrom(f); err != nil {
		a.abort()
	}
}

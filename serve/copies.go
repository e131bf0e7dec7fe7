package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
)

// storedPage is below which everything stands that is stored, as it is, for who
// copies it. None of it is asked for upstream, accounted as used, or counted.
const storedPage = "/-/stored/"

// storedFile answers with the file at path, below storedPage: a stored one, by its
// path below the cache directory, or one of a generation's.
func (s *Server) storedFile(a *answer, path string) {
	name, ok := storedName(strings.TrimPrefix(path, storedPage))
	var o *cache.Object
	err := fs.ErrNotExist
	if ok {
		o, err = s.o.Cache.Placed(name, cache.Status{})
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, cache.ErrNotAFile):
		a.text(http.StatusNotFound, cache.Status{}, "Not found: nothing is stored there.")
		return
	case err != nil:
		s.o.Log.Warn("a stored file can't be read", "file", name, "error", err)
		a.text(http.StatusInternalServerError, cache.Status{}, "It can't be read: "+err.Error())
		return
	}
	defer o.Close()
	facts, _ := o.Facts()
	head, err := json.Marshal(facts.Head())
	if err == nil {
		a.Header().Set(cache.HeadField, string(head))
	}
	if err := s.give(a, o, config.Other); err != nil {
		if !a.gone() {
			s.o.Log.Warn("a stored file was broken off", "file", name, "error", err)
		}
		a.abort()
	}
}

// storedName is the path below the cache directory that a path, still escaped, names;
// ok is false for what is not to be copied.
func storedName(escaped string) (name string, ok bool) {
	repo, rest, _ := strings.Cut(escaped, "/")
	repo, err := url.PathUnescape(repo)
	if err != nil || repo == "" || strings.ContainsAny(repo, "/\x00") || repo == "." || repo == ".." {
		return "", false
	}
	k, err := cache.NewKey(repo, rest)
	if err != nil {
		return "", false
	}
	if strings.HasPrefix(repo, ".") && !generation.IsFile(k.String()) {
		return "", false
	}
	return k.String(), true
}

// generations answers with the generations that are kept here, a JSON object a line.
func (s *Server) generations(a *answer) {
	var kept []generation.Kept
	if s.o.Metadata != nil {
		var err error
		if kept, err = s.o.Metadata.Inventory(a.r.Context(), s.o.Cache); err != nil {
			s.o.Log.Warn("the generations can't be listed", "error", err)
			a.text(http.StatusInternalServerError, cache.Status{}, "They can't be listed: "+err.Error())
			return
		}
	}
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	for _, g := range kept {
		if err := to.Encode(g); err != nil {
			a.text(http.StatusInternalServerError, cache.Status{}, "They can't be written: "+err.Error())
			return
		}
	}
	sum := sha256.Sum256(b.Bytes())
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	a.Header().Set("ETag", tag)
	if a.r.Header.Get("If-None-Match") == tag {
		a.decide(http.StatusNotModified, cache.Status{})
		return
	}
	a.document("application/x-ndjson", b.Bytes())
}

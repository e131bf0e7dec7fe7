package serve

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"strings"

	"intelligentmirror/internal/cache"
)

// Actions is what an administrator can do by the status page beyond purging. One
// that is nil has no button.
type Actions struct {
	// Hold keeps a root of a repository ("fedora/updates/41/Everything/x86_64") at the
	// metadata that it has, Release lets it go on. An error is for the administrator.
	Hold    func(ctx context.Context, root string) error
	Release func(ctx context.Context, root string) error
	// Run starts a run of imsync, and does not wait for its end.
	Run func() error
}

// doPath is below which the buttons of the status page lead.
const doPath = "/-/do/"

// doneText is what the page says after a button, by the word in its URL.
var doneText = map[string]string{
	"purge":   "Purged: the next request fetches it again.",
	"hold":    "Held: the metadata stays as it is until it is released.",
	"release": "Released: the metadata goes on with upstream's.",
	"run":     "A run of imsync has been started.",
}

// maxForm is how large a form's body may be, in bytes.
const maxForm = 8 << 10

// do does what a button of the status page asks for.
func (s *Server) do(a *answer, name string) {
	switch {
	case !s.mayManage(a):
		s.notAdmin(a, "This")
		return
	case a.r.Method != http.MethodPost:
		a.Header().Set("Allow", http.MethodPost)
		a.text(http.StatusMethodNotAllowed, cache.Status{}, a.r.Method+" changes nothing here.", "The buttons of /-/ send POST.")
		return
	}
	if why := s.foreign(a); why != "" {
		a.text(http.StatusForbidden, cache.Status{}, "Refused: "+why, "Open /-/ by this machine's address or by its own name, and use the buttons there.")
		return
	}
	a.r.Body = http.MaxBytesReader(a, a.r.Body, maxForm)
	if err := a.r.ParseForm(); err != nil {
		a.text(http.StatusBadRequest, cache.Status{}, "The form can't be read: "+err.Error())
		return
	}
	var act func() error
	what := strings.Trim(strings.TrimSpace(a.r.PostForm.Get("what")), "/")
	switch actions := s.o.Actions; {
	case name == "purge":
		act = func() error {
			_, _, err := s.o.Cache.Purge(what)
			return err
		}
	case name == "hold" && actions.Hold != nil:
		act = func() error { return actions.Hold(a.r.Context(), what) }
	case name == "release" && actions.Release != nil:
		act = func() error { return actions.Release(a.r.Context(), what) }
	case name == "run" && actions.Run != nil:
		act = actions.Run
	default:
		a.text(http.StatusNotFound, cache.Status{}, "Not found: there is no such button.")
		return
	}
	err := act()
	s.o.Log.Info("an administrator has used a button", "button", name, "what", what, "error", err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a.text(http.StatusNotFound, cache.Status{}, "Not found: "+err.Error())
	case err != nil:
		a.text(http.StatusConflict, cache.Status{}, "It could not be done: "+err.Error())
	default:
		a.Header().Set("Location", "/-/?done="+name)
		a.text(http.StatusSeeOther, cache.Status{}, "Done. The status is at /-/")
	}
}

// foreign is why a request that changes something may come from another site's page
// in an administrator's browser; "" where it can't. A browser says which site's page
// has sent a form; what says nothing is no browser. That a name of somebody else's
// leads to this address (DNS rebinding) no browser can tell: only names that are
// this machine's own are taken, unless the token comes with the request. A browser
// has that for the name alone at which a person gave it.
func (s *Server) foreign(a *answer) (why string) {
	r := a.r
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return "this comes from another site's page."
	}
	host, ok := hostOf(r.Host)
	if !ok {
		return "the Host field is no host's name."
	}
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" || s.byToken(a) {
		return "" // no browser, or a person's word at this very name
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "localhost" || s.o.Hostname != "" && strings.EqualFold(host, s.o.Hostname) {
		return ""
	}
	return "by the name " + host + " somebody else's page could be meant."
}

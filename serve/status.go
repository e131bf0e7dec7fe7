package serve

import (
	"bytes"
	_ "embed" // the status page
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/visible"
	"intelligentmirror/popularity"
)

// internal answers for the server's own pages, below /-/.
func (s *Server) internal(a *answer, path string) {
	if name, ok := strings.CutPrefix(path, doPath); ok {
		s.do(a, name)
		return
	}
	if !a.readOnly() {
		return
	}
	switch path {
	case "/-/healthz":
		a.text(http.StatusOK, cache.Status{}, "ok")
		return
	case "/-/readyz":
		s.ready(a)
		return
	case "/-/setup":
		a.Header().Set("Location", setupPath)
		a.text(http.StatusMovedPermanently, cache.Status{}, "It is at "+setupPath)
		return
	case stylePath:
		a.asset("text/css; charset=utf-8", styleSheet)
		return
	}
	if name, ok := strings.CutPrefix(path, metalinkPage); ok {
		s.metalink(a, name)
		return
	}
	if name, ok := strings.CutPrefix(path, setupPath); ok {
		s.setup(a, name)
		return
	}
	if !s.mayManage(a) {
		s.notAdmin(a, "This page")
		return
	}
	if strings.HasPrefix(path, storedPage) {
		s.storedFile(a, path)
		return
	}
	switch path {
	case "/-":
		a.Header().Set("Location", "/-/")
		a.text(http.StatusMovedPermanently, cache.Status{}, "It is at /-/")
	case "/-/":
		s.page(a)
	case "/-/status.json":
		// Terminals get to see it too.
		var body bytes.Buffer
		e := json.NewEncoder(visible.JSON{W: &body})
		e.SetIndent("", "  ")
		err := e.Encode(s.report(a.r.Context()))
		if err != nil {
			a.text(http.StatusInternalServerError, cache.Status{}, "The status can't be written: "+err.Error())
			return
		}
		a.document("application/json", body.Bytes())
	case "/-/events":
		s.events(a)
	case "/-/status.js":
		a.asset("text/javascript; charset=utf-8", statusScript)
	case "/-/manifest":
		s.manifest(a)
	case claimsPath:
		s.claims(a)
	case popularity.CountsPage:
		s.counts(a)
	case "/-/generations":
		s.generations(a)
	case "/-/metrics":
		s.metricsPage(a)
	default:
		a.text(http.StatusNotFound, cache.Status{}, "Not found: there is no such page.",
			"There are /-/, /-/setup/, /-/status.json, /-/metrics, /-/manifest, /-/generations, /-/counts, /-/claims, /-/healthz and /-/readyz.")
	}
}

//go:embed status.html
var statusHTML string

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"bytes": byteText, "share": shareText, "count": countText, "ago": ago, "spared": sparedText,
	"words": func(name string) string { return strings.ReplaceAll(name, "_", " ") },
	"clock": func(t time.Time) string { return t.Format("15:04:05") },
	"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"base":  path.Base,
	"uptime": func(seconds int64) string {
		d := time.Duration(seconds) * time.Second
		if days := seconds / 86400; days > 0 {
			return fmt.Sprintf("%d d %d h", days, int(d.Hours())%24)
		}
		return d.String()
	},
}).Parse(statusHTML))

// statusPage is a report with what its page shows besides.
type statusPage struct {
	report
	Now     time.Time
	Live    livePart
	Later   []problem // that nobody's request depends on
	Chart   chart
	Actions Actions
	Done    string // what a button has just done
}

// livePart is the part of the page that follows what happens.
type livePart struct {
	Now       time.Time
	Problems  []problem
	Bad       int // how many of them are not minor
	Downloads []downloading
	More      int // downloads that are not shown
	Waiting   int // for any of them
}

// downloadsShown is how many downloads the page shows.
const downloadsShown = 12

// livePart makes it of r.
func (s *Server) livePart(r *report) livePart {
	p := livePart{Now: s.o.Now(), Problems: problemsNow(r), Downloads: r.Downloads}
	for _, x := range p.Problems {
		if !x.Minor {
			p.Bad++
		}
	}
	for _, d := range r.Downloads {
		p.Waiting += d.Waiting
	}
	if n := len(p.Downloads); n > downloadsShown {
		p.Downloads, p.More = p.Downloads[:downloadsShown], n-downloadsShown
	}
	return p
}

// page is the report for people; what changes by the second follows by itself
// where the browser runs scripts.
func (s *Server) page(a *answer) {
	r := s.report(a.r.Context())
	now := s.o.Now()
	p := statusPage{
		report: r, Now: now, Live: s.livePart(&r), Later: problemsLater(&r, now),
		Chart: draw(r.Days, now, 30), Actions: s.o.Actions, Done: doneText[a.r.URL.Query().Get("done")],
	}
	var b bytes.Buffer
	if err := statusTemplate.Execute(&b, p); err != nil {
		a.text(http.StatusInternalServerError, cache.Status{}, "The status can't be shown: "+err.Error())
		return
	}
	a.guard()
	a.document("text/html; charset=utf-8", []byte(shown(b.String())))
}

// sparedText is seconds of waiting, for people.
func sparedText(seconds int64) string {
	if seconds <= 0 {
		return "–"
	}
	return "about " + ago(time.Duration(seconds)*time.Second)
}

// byteText is n bytes for people: "1.5 GiB".
func byteText(n int64) string {
	const units = "KMGTPE"
	if n < 0 {
		return "−" + byteText(-n)
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1023.95 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// thousands is the narrow space between the thousands of a number.
const thousands = "\u202f"

// countText is n with its thousands apart.
func countText(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + thousands + text[i:]
	}
	return text
}

// shareText is part of whole in percent.
func shareText(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

package serve

import (
	"bytes"
	"context"
	_ "embed" // the status page
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// internal answers for the server's own pages, below /-/.
func (s *Server) internal(a *answer, path string) {
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
	if name, ok := strings.CutPrefix(path, setupPath); ok {
		s.setup(a, name)
		return
	}
	if !isAdmin(a.client, s.o.Config.Serve.Admins) {
		a.text(http.StatusForbidden, cache.Status{}, "This page is for administrators.",
			"They are the networks of serve.admins, and ask without a proxy in between.")
		return
	}
	switch path {
	case "/-":
		a.Header().Set("Location", "/-/")
		a.text(http.StatusMovedPermanently, cache.Status{}, "It is at /-/")
	case "/-/":
		s.page(a)
	case "/-/status.json":
		body, err := json.MarshalIndent(s.report(a.r.Context()), "", "  ")
		if err != nil {
			a.text(http.StatusInternalServerError, cache.Status{}, "The status can't be written: "+err.Error())
			return
		}
		a.document("application/json", append(body, '\n'))
	case "/-/manifest":
		s.manifest(a)
	case "/-/metrics":
		s.metricsPage(a)
	default:
		a.text(http.StatusNotFound, cache.Status{}, "Not found: there is no such page.", "There are /-/, /-/setup/, /-/status.json, /-/metrics, /-/manifest, /-/healthz and /-/readyz.")
	}
}

// report is the server's state, as /-/status.json has it.
type report struct {
	Version       string        `json:"version"`
	Started       time.Time     `json:"started"`
	UptimeSeconds int64         `json:"uptime_seconds"`
	Today         *cache.Totals `json:"today"`        // null where nothing is accounted
	Last30Days    *cache.Totals `json:"last_30_days"` // today included; days are UTC's
	Cache         cache.Space   `json:"cache"`
	KeptBack      []keptBack    `json:"metadata_kept_back"` // roots whose new metadata is not served, by name
	SinceStart    sinceStart    `json:"since_start"`
	MissedHTTPS   []missedHTTPS `json:"missed_https"` // through tunnels to hosts of repositories since the start, the most first
	Recent        []recent      `json:"recent"`       // the latest first
}

// keptBack is a root that stays at older metadata than upstream's.
type keptBack struct {
	Root  string    `json:"root"`
	Since time.Time `json:"since"` // of the last try
	Why   string    `json:"why"`
}

// sinceStart counts all answers, those included that are none of our business.
type sinceStart struct {
	Requests int64            `json:"requests"`
	Bytes    int64            `json:"bytes_served"`
	Outcomes map[string]int64 `json:"outcomes"`
}

// recent is one of the last answers.
type recent struct {
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"`
	Client  string    `json:"client"`
	Method  string    `json:"method"`
	Target  string    `json:"target"`
	Code    int       `json:"status"`
	Bytes   int64     `json:"bytes"`
	Outcome outcome   `json:"outcome"`
}

// totalsWithin is how long the status page waits for the accounting.
const totalsWithin = 2 * time.Second

func (s *Server) report(ctx context.Context) report {
	now := s.o.Now()
	r := report{
		Version: s.o.Version, Started: s.started.UTC(), UptimeSeconds: int64(now.Sub(s.started) / time.Second),
		SinceStart: sinceStart{Bytes: s.stats.sent.Load()}, MissedHTTPS: s.missed.list(), KeptBack: []keptBack{}, Recent: []recent{},
	}
	if s.o.Metadata != nil {
		for _, p := range s.o.Metadata.Problems() {
			r.KeptBack = append(r.KeptBack, keptBack{p.Root.String(), p.Since.UTC(), p.Err.Error()})
		}
	}
	r.SinceStart.Outcomes, r.SinceStart.Requests = s.stats.outcomes()
	for _, e := range s.stats.last() {
		r.Recent = append(r.Recent, recent{e.At, e.Took.Seconds(), e.Client, e.Method, e.Target, e.Code, e.Sent, e.Outcome})
	}
	if s.o.Ledger == nil {
		r.Cache = s.o.Cache.Space(ctx)
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, totalsWithin)
	defer cancel()
	if err := s.o.Ledger.Flush(ctx); err != nil {
		s.o.Log.Warn("the status lacks the last answers", "error", err)
	}
	r.Cache = s.o.Cache.Space(ctx)
	totals := func(since time.Time) *cache.Totals {
		t, err := s.o.Ledger.Totals(ctx, since)
		if err != nil {
			s.o.Log.Warn("the accounting can't be read", "error", err)
			return nil
		}
		return &t
	}
	r.Today, r.Last30Days = totals(now), totals(now.AddDate(0, 0, -29))
	return r
}

//go:embed status.html
var statusPage string

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"bytes": byteText, "share": shareText, "count": countText,
	"words": func(name string) string { return strings.ReplaceAll(name, "_", " ") },
	"clock": func(t time.Time) string { return t.Format("15:04:05") },
	"uptime": func(seconds int64) string {
		d := time.Duration(seconds) * time.Second
		if days := seconds / 86400; days > 0 {
			return fmt.Sprintf("%d d %d h", days, int(d.Hours())%24)
		}
		return d.String()
	},
}).Parse(statusPage))

// page is the report for people, without scripts.
func (s *Server) page(a *answer) {
	var b bytes.Buffer
	if err := statusTemplate.Execute(&b, s.report(a.r.Context())); err != nil {
		a.text(http.StatusInternalServerError, cache.Status{}, "The status can't be shown: "+err.Error())
		return
	}
	h := a.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	a.document("text/html; charset=utf-8", b.Bytes())
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

// countText is n with its thousands apart.
func countText(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
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

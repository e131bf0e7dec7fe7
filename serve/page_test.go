package serve

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/testrepo"
)

// TestPages looks at the status page and at the set-up page with a real browser, on a
// phone and on a screen, light and dark: nothing on the console, no request to
// anybody else, nothing serious that axe-core finds, and what is live moves.
func TestPages(t *testing.T) {
	ctx, axe := chromium(t)
	t.Run("empty", func(t *testing.T) {
		m := newMirror(t, setup{})
		x := m.tab(ctx, axe)
		x.twice("/-/", "empty")
		x.twice("/-/setup/", "setup")
		x.until(`document.body.innerText.includes("Use this mirror")`)
	})
	t.Run("busy", func(t *testing.T) { busy(t, ctx, axe) })
	t.Run("broken upstream", func(t *testing.T) {
		m := newMirror(t, setup{})
		m.put(pkg, rpm(3000, 1))
		m.prime(pkg)
		m.up.Stop()
		m.do(m.request("GET", "os/none-1-1.noarch.rpm"))
		x := m.tab(ctx, axe)
		x.twice("/-/", "broken")
		x.until(`document.querySelector("#live [role=alert]")?.innerText.includes("No mirror of r answers")`)
	})
	t.Run("by token", func(t *testing.T) { byToken(t, ctx, axe) })
	t.Run("full disk", func(t *testing.T) {
		dir := disk(t, 2<<20)
		m := newMirror(t, setup{dir: filepath.Join(dir, "cache"), size: 1 << 30, minFree: 64 << 20})
		x := m.tab(ctx, axe)
		x.twice("/-/", "full")
		x.until(`document.querySelector("#live [role=alert]")?.innerText.includes("The disk of cache_dir is full")`)
	})
}

// busy is the page of a mirror with a month behind it and a download under way.
func busy(t *testing.T, ctx context.Context, axe string) {
	// A slow machine takes its time to look at the page.
	m := newMirror(t, setup{idle: time.Hour, actions: Actions{
		Hold: func(context.Context, string) error { return nil }, Release: func(context.Context, string) error { return nil }, Run: func() error { return nil },
	}, runs: someRuns})
	now := time.Unix(0, m.clock.Load())
	for day := range 30 {
		m.clock.Store(now.AddDate(0, 0, day-29).UnixNano())
		if day%11 == 4 {
			continue // a holiday
		}
		k := cache.Key{Repo: "r", Path: pkg}
		for i := range 50 + 10*day {
			m.ledger.Served(k, 2<<20, i%(day+2) != 0)
		}
		m.ledger.Fetched(k, int64(60-day)<<20, day%3 == 0)
	}
	m.totals()
	m.clock.Store(now.UnixNano())
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	m.get("os/<img src=x onerror=alert(1)>.rpm")
	const arriving = "os/Packages/kernel-core-6.11.5-300.fc41.x86_64.rpm"
	m.put(arriving, rpm(400_000, 2))
	m.up.On("/r/"+arriving, testrepo.Stall(100_000))
	done := make(chan reply, 2)
	for range 2 {
		req := m.request(http.MethodGet, arriving).WithContext(t.Context())
		go func() { done <- m.try(req) }()
	}
	m.stalled()
	x := m.tab(ctx, axe)
	x.everywhere("/-/", "busy")
	// What has come is shown, and once more arrives the bar is gone, on the same page.
	const bar = `document.querySelector("#live progress")`
	x.until(bar + `.value >= 65536 && ` + bar + `.max == 400000 && document.querySelector("#live").innerText.includes("2 wait")`)
	x.until(`document.getElementById("as-of").innerText == "live"`)
	m.up.Release()
	for range 2 {
		if r := <-done; r.err != nil || len(r.body) != 400_000 {
			t.Errorf("%s, %d bytes, %v", r.Status, len(r.body), r.err)
		}
	}
	x.until(`document.querySelector("#live").innerText.includes("all that is asked for is here")`)
	// A button, by the keyboard.
	run(x, chromedp.Focus(chromedp.CSS("form[action='/-/do/run'] button")))
	run(x, chromedp.KeyEvent(kb.Enter))
	x.until(`document.querySelector(".done")?.innerText.includes("has been started")`)
}

// byToken: who asks from elsewhere gives the token when the browser asks for it, and
// can then look and press.
func byToken(t *testing.T, ctx context.Context, axe string) {
	pressed := make(chan bool, 1)
	m := newMirror(t, setup{config: "[serve]\nadmins = []\n", token: secret, actions: Actions{Run: func() error { pressed <- true; return nil }}})
	x := m.tab(ctx, axe)
	run(x, chromedp.Navigate("http://anna:"+secret+"@"+m.addr+"/-/"))
	x.until(`document.getElementById("as-of").innerText == "live"`)
	run(x, chromedp.Click(chromedp.CSS("form[action='/-/do/run'] button")))
	x.until(`document.querySelector(".done")?.innerText.includes("has been started")`)
	<-pressed
	if log := m.log.String() + m.access.String(); strings.Contains(log, secret) || strings.Contains(log, "anna") {
		t.Errorf("a log has the token, or who gave it:\n%s", log)
	}
}

// someRuns is a night as the page has to show it.
func someRuns(context.Context, *config.Config) (*Runs, error) {
	at := time.Date(2024, 11, 14, 2, 17, 0, 0, time.UTC)
	item := RunItem{Path: "r/os/Packages/vlc-3.0.21-4.fc41.x86_64.rpm", Size: 3 << 20, At: at, Why: "seed: vlc", Used: true}
	return &Runs{
		Next: at.AddDate(0, 0, 1), Started: at, Finished: at.Add(7 * time.Minute), Success: at, Fetched: 49, Bytes: 44 << 20, Failures: 1,
		Failed: []string{"r/os/a.rpm: upstream does not have it"}, Used: 900 << 20, Wasted: 90 << 20, Waiting: 30 << 20,
		Brought: []RunItem{item, item}, BroughtAll: 49, InVain: []RunItem{item},
	}, nil
}

// TestEvents: who follows the page hears of what changes, nobody but administrators
// may, and no more of them than a mirror can tell; a server that stops lets them go.
// TestPopularIsRemembered: who looks at the page again and again has the uses of all files
// read once a minute.
func TestPopularIsRemembered(t *testing.T) {
	m := newMirror(t, setup{})
	shown := func() (paths []string) {
		t.Helper()
		for _, p := range m.server.report(t.Context()).Popular {
			paths = append(paths, p.Path)
		}
		return paths
	}
	served := func(path string) {
		t.Helper()
		m.ledger.Served(cache.Key{Repo: "r", Path: path}, 1, true)
		if err := m.ledger.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	served("a.rpm")
	if got := shown(); !slices.Equal(got, []string{"r/a.rpm"}) {
		t.Errorf("shown: %q", got)
	}
	served("b.rpm")
	m.pass(popularFor - time.Second)
	if got := shown(); !slices.Equal(got, []string{"r/a.rpm"}) {
		t.Errorf("within a minute: %q", got)
	}
	m.pass(time.Second)
	if got := shown(); !slices.Equal(got, []string{"r/a.rpm", "r/b.rpm"}) {
		t.Errorf("after a minute: %q", got)
	}
}

// TestLiveNeedsNoDatabase: what follows the page by the second asks the accounting nothing.
func TestLiveNeedsNoDatabase(t *testing.T) {
	m := newMirror(t, setup{})
	if err := m.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	a := &answer{r: m.request("GET", "/-/events")}
	if text := m.server.live(a); text == "" || strings.Contains(m.log.String(), "level=WARN") {
		t.Errorf("%q, log:\n%s", text, m.log)
	}
}

func TestEvents(t *testing.T) {
	m := newMirror(t, setup{})
	if r := m.get("/-/events", "X-Forwarded-For", "192.168.3.4"); r.StatusCode != 403 {
		t.Errorf("to a client: %s", r.Status)
	}
	follow := func() *http.Response {
		t.Helper()
		resp, err := m.http.Do(m.request("GET", "/-/events"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	first := follow()
	if first.StatusCode != 200 || first.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", first.Status, first.Header)
	}
	b := make([]byte, 6)
	if _, err := first.Body.Read(b); err != nil || string(b) != "data: " {
		t.Fatalf("it begins with %q, %v", b, err)
	}
	for range maxViewers - 1 {
		follow()
	}
	if r := m.get("/-/events"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", r.Status)
	}
	m.close()
}

func TestProblems(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	well := func() *report { return &report{Last30Days: &cache.Totals{}} }
	for _, c := range []struct {
		name  string
		spoil func(*report)
		want  []string // in the order of the list; "!" first: one that clients notice
	}{
		{"nothing", func(*report) {}, nil},
		{"a full disk", func(r *report) { r.Cache.Problem = "The disk is full." }, []string{"!The disk is full."}},
		{"not ready", func(r *report) { r.unready = errStopping }, []string{"!This mirror is not ready"}},
		{"a mirror of two rests", func(r *report) { r.Mirrors = []mirrorState{{"r", 2, 1, 0}} }, nil},
		{"both rest", func(r *report) { r.Mirrors = []mirrorState{{"r", 2, 2, 9}} }, []string{"!No mirror of r answers"}},
		{"metadata", func(r *report) { r.KeptBack = []keptBack{{Root: "r/os", Why: "no primary"}} }, []string{"New metadata of r/os is kept back: no primary."}},
		{"no ledger", func(r *report) { r.Last30Days = nil }, []string{"Nothing is accounted"}},
		{"a run broken off", func(r *report) { r.Sync = &Runs{Ended: "no disk", Failures: 3, Success: now} }, []string{"The last run of imsync was broken off: no disk."}},
		{"a run with failures", func(r *report) { r.Sync = &Runs{Failures: 3, Success: now} }, []string{"could not fetch all: 3 failed"}},
		{"no run for days", func(r *report) { r.Sync = &Runs{Success: now.Add(-100 * time.Hour)} }, []string{"began 4 days ago"}},
		{"but one is under way", func(r *report) { r.Sync = &Runs{Success: now.Add(-100 * time.Hour), Running: true} }, nil},
		{"little by https", func(r *report) { r.SinceStart.Bytes, r.MissedHTTPS = 100, []missedHTTPS{{"r", 1, 5}} }, nil},
		{"much by https", func(r *report) { r.SinceStart.Bytes, r.MissedHTTPS = 100, []missedHTTPS{{"r", 1, 50}} }, []string{"50 B of r went past the cache"}},
		{"a bucket that is well", func(r *report) { r.Bucket = &bucketState{BucketState: BucketState{Waiting: 9, Failures: 3}} }, nil},
		{"a bucket that is not", func(r *report) {
			r.Bucket = &bucketState{BucketState: BucketState{Waiting: 9, Since: now.Add(-time.Hour), Error: "no route"}}
		}, []string{"The bucket has taken no uploads for 60 min: no route."}},
		{"several", func(r *report) { r.Cache.Problem, r.Last30Days = "The disk is full.", nil }, []string{"!The disk is full.", "Nothing is accounted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := well()
			c.spoil(r)
			got := append(problemsNow(r), problemsLater(r, now)...)
			if len(got) != len(c.want) {
				t.Fatalf("%d problems, want %d: %+v", len(got), len(c.want), got)
			}
			for i, p := range got {
				want, bad := strings.CutPrefix(c.want[i], "!")
				if !strings.Contains(p.What, want) || p.Minor == bad {
					t.Errorf("%+v, want %q", p, c.want[i])
				}
			}
		})
	}
}

func TestDraw(t *testing.T) {
	now := time.Date(2024, 11, 14, 12, 0, 0, 0, time.UTC)
	day := func(date string, requests, hits, served, upstream int64) cache.Day {
		return cache.Day{Date: date, Totals: cache.Totals{Requests: requests, Hits: hits, Served: served, Upstream: upstream}}
	}
	c := draw([]cache.Day{day("2024-11-11", 4, 1, 100, 50), day("2024-11-12", 4, 4, 200, 0), day("2024-11-14", 2, 0, 10, 30)}, now, 5)
	if c.First != "2024-11-10" || c.Last != "2024-11-14" || c.Most != 200 {
		t.Errorf("%+v", c)
	}
	// A day without requests parts the line, and a single day has a length all the same.
	if len(c.Hits) != 2 || c.Hits[0] != "180.0,75.0 300.0,0.0" || c.Hits[1] != "540.0,100.0 544.0,100.0" {
		t.Errorf("hits %q", c.Hits)
	}
	if len(c.Bars) != 3 || c.Bars[0].Top != 50 || c.Bars[0].From != 25 || c.Bars[0].Rest != 25 || c.Bars[2].From != 0 {
		t.Errorf("bars %+v", c.Bars)
	}
	if !strings.Contains(c.Together, "50.0 % of 10 answers") {
		t.Errorf("it says %q", c.Together)
	}
}

func TestPace(t *testing.T) {
	var s stats
	if s.pace() != 0 {
		t.Error("known before anything was downloaded")
	}
	s.add(&event{Outcome: outcomeMiss, Took: 4 * time.Second, Sent: 2 << 20})
	s.add(&event{Outcome: outcomeHit, Took: time.Second, Sent: 1 << 20})
	if got := spared(cache.Totals{Served: 11 << 20, Upstream: 1 << 20}, s.pace()); got != 10 {
		t.Errorf("%d s spared, want 10: a second for each MiB", got)
	}
	if got := spared(cache.Totals{Served: 1, Upstream: 1 << 30}, s.pace()); got != 0 {
		t.Errorf("%d s spared where more was downloaded than sent", got)
	}
}

package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axePath is where .ci/setup puts the rules of accessibility that the pages are held to.
const axePath = "/usr/local/share/axe-core/axe.min.js"

// screenshots is the variable with the directory for screenshots that a person looks at.
const screenshots = "IM_SCREENSHOTS"

// chromium is a Chromium for a test, and the rules of axe-core, "" where .ci/setup had
// no way to fetch them: all else is looked at then. Without Chromium the test is
// skipped, in CI it fails.
func chromium(t *testing.T) (ctx context.Context, axe string) {
	t.Helper()
	path := testrepo.Program(t, "chromium")
	rules, err := os.ReadFile(axePath)
	if err != nil {
		t.Logf("the pages are not held to the rules of axe-core: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		// Nothing of the browser's own goes anywhere, and no memory is asked for that a container does not have.
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true))
	all, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(all)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, string(rules)
}

// tab is a tab of the browser that looks at a mirror's pages.
type tab struct {
	t   *testing.T
	m   *mirror
	ctx context.Context
	axe string

	mu    sync.Mutex
	wrong []string // errors on the console, and requests that leave the host
}

// tab opens one. At its test's end there must have been no error on its console, and
// no request to anybody but the mirror.
func (m *mirror) tab(ctx context.Context, axe string) *tab {
	m.t.Helper()
	x := &tab{t: m.t.(*testing.T), m: m, axe: axe}
	complain := func(format string, args ...any) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
	}
	var end context.CancelFunc
	x.ctx, end = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complain("exception: %s", e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				complain("console: %s", e.Type)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				complain("log: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(e.Request.URL); err != nil || u.Host != m.addr && u.Scheme != "data" {
				complain("a request leaves the host: %s", e.Request.URL)
			}
		}
	}))
	m.t.Cleanup(func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, w := range x.wrong {
			m.t.Error(w)
		}
		end()
	})
	call(x, network.Enable, network.EnableParams{})
	call(x, log.Enable, cdp.Empty{})
	return x
}

// call sends the tab a command of the protocol.
func call[P, R any](x *tab, command cdp.Command[P, R], params P) {
	x.t.Helper()
	if _, err := chromedp.Call(x.ctx, command, params); err != nil {
		x.t.Fatal(err)
	}
}

// run is what an action gives.
func run[T any](x *tab, a chromedp.Action[T]) T {
	x.t.Helper()
	v, err := chromedp.Run(x.ctx, a)
	if err != nil {
		x.t.Fatal(err)
	}
	return v
}

// look opens a page in a width and a colour scheme, holds it to the rules, and takes
// a screenshot where somebody wants one.
func (x *tab) look(page, name string, width int64, scheme string) {
	x.t.Helper()
	call(x, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600})
	call(x, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	run(x, chromedp.Navigate("http://"+x.m.addr+page))
	if over := run(x, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); over > 0 {
		x.t.Errorf("%s at %d px is %d px too wide", name, width, over)
	}
	x.accessible(fmt.Sprintf("%s, %d px, %s", name, width, scheme))
	if dir := os.Getenv(screenshots); dir != "" {
		png := run(x, chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o644); err != nil {
			x.t.Fatal(err)
		}
	}
}

// accessible holds the page that is shown to the rules of axe-core.
func (x *tab) accessible(what string) {
	x.t.Helper()
	if x.axe == "" {
		return
	}
	found := run(x, chromedp.Evaluate[string](x.axe+`; axe.run({resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v =>
		({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary)}))))`, chromedp.EvalAwaitPromise))
	var violations []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		x.t.Fatal(err)
	}
	for _, v := range violations {
		if v.Impact == "serious" || v.Impact == "critical" {
			x.t.Errorf("%s: %s (%s)\n%s", what, v.Help, v.ID, strings.Join(v.Nodes, "\n"))
		}
	}
}

// everywhere looks at a page as a phone and as a screen have it, light and dark.
func (x *tab) everywhere(page, name string) {
	x.t.Helper()
	for _, width := range []int64{360, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			x.look(page, name, width, scheme)
		}
	}
}

// twice looks at a page in both widths and in both schemes, if not in each of both; it
// does that too where somebody wants screenshots.
func (x *tab) twice(page, name string) {
	x.t.Helper()
	if os.Getenv(screenshots) != "" {
		x.everywhere(page, name)
		return
	}
	x.look(page, name, 360, "dark")
	x.look(page, name, 1280, "light")
}

// until waits until an expression is true in the page, also in the next one where a
// button leads there.
func (x *tab) until(expression string) {
	x.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := time.After(hung)
	for {
		ok, err := chromedp.Run(x.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			x.t.Fatalf("waited in vain for %s: %v", expression, err)
		}
	}
}

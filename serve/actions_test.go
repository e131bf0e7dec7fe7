package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// press sends the form of a button.
func (m *mirror) press(button, what string, fields ...string) reply {
	m.t.Helper()
	req := m.request(http.MethodPost, "/-/do/"+button, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, fields...)...)
	req.Body = io.NopCloser(strings.NewReader(url.Values{"what": {what}}.Encode()))
	req.ContentLength = -1
	req.Host = req.Header.Get("Host")
	resp, err := m.http.Transport.RoundTrip(req) // a redirect is the answer
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	return reply{Response: resp}
}

// TestActions: the buttons do what they say, for administrators, and not for another
// site's page in an administrator's browser.
func TestActions(t *testing.T) {
	var did []string
	m := newMirror(t, setup{actions: Actions{
		Hold: func(_ context.Context, root string) error { did = append(did, "hold "+root); return nil },
		Run:  func() error { return errors.New("one is under way") },
	}})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	ours := []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + m.addr}
	for _, c := range []struct {
		name         string
		button, what string
		fields       []string
		want         int
	}{
		{"a client", "purge", "r/" + pkg, []string{"X-Forwarded-For", "192.168.3.4"}, 403},
		{"an administrator's address, by way of a proxy", "purge", "r/" + pkg, []string{"Via", "1.1 squid"}, 403},
		{"another site's page", "purge", "r/" + pkg, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"another port's page", "purge", "r/" + pkg, []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, 403},
		{"an old browser", "purge", "r/" + pkg, []string{"Origin", "https://evil.example"}, 403},
		{"a sandboxed frame", "purge", "r/" + pkg, []string{"Origin", "null"}, 403},
		{"a name that leads here and is not ours", "purge", "r/" + pkg, []string{"Sec-Fetch-Site", "same-origin", "Host", "evil.example:3180"}, 403},
		{"no such button", "shutdown", "", ours, 404},
		{"a button that this server has not", "release", "r/os", ours, 404},
		{"what can't be done", "run", "", ours, 409},
		{"nothing there", "purge", "r/nothing", ours, 404},
		{"the cache's own", "purge", ".im", ours, 409},
		{"hold", "hold", "r/os", ours, 303},
		{"by this machine's name", "hold", "r/name", []string{"Sec-Fetch-Site", "same-origin", "Host", "mirror.test:3180"}, 303},
		{"curl", "hold", "r/curl", nil, 303},
	} {
		r := m.press(c.button, c.what, c.fields...)
		if r.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.name, r.Status, c.want)
		}
		if m.stored(pkg) == nil {
			t.Fatalf("%s: the file is gone", c.name)
		}
	}
	if got := strings.Join(did, ", "); got != "hold r/os, hold r/name, hold r/curl" {
		t.Errorf("what was done: %s", got)
	}
	if r := m.do(m.request(http.MethodGet, "/-/do/purge")); r.StatusCode != 405 || r.Header.Get("Allow") != "POST" {
		t.Errorf("a GET: %s", r.Status)
	}
	if r := m.press("purge", "r/"+strings.Repeat("a", 2*maxForm), ours...); r.StatusCode != 400 {
		t.Errorf("a form of any length: %s", r.Status)
	}
	r := m.press("purge", "/r/"+pkg, ours...)
	if r.StatusCode != 303 || r.Header.Get("Location") != "/-/?done=purge" || m.stored(pkg) != nil {
		t.Errorf("purge: %s, to %q", r.Status, r.Header.Get("Location"))
	}
	if page := string(m.get("/-/?done=purge").body); !strings.Contains(page, doneText["purge"]) {
		t.Error("the page does not say what was done")
	}
	if page := string(m.get("/-/?done=%3Cb%3E").body); strings.Contains(page, "class=\"done\"") {
		t.Error("the page says what a URL says")
	}
}

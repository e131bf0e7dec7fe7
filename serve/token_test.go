package serve

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

const secret = "0123456789abcdef0123456789"

// basic is how a browser gives a password.
func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// TestToken: the token makes an administrator of any client, of nobody else, and not
// of another site's page in that client's browser. It is written nowhere.
func TestToken(t *testing.T) {
	held := 0
	m := newMirror(t, setup{config: "[serve]\nadmins = []\n", token: secret, actions: Actions{
		Hold: func(context.Context, string) error { held++; return nil },
	}})
	const wrong = "0123456789abcdef012345678X"
	for _, c := range []struct {
		name   string
		fields []string
		page   int // what /-/ answers
		button int // and the button
	}{
		{"nothing", nil, 401, 401},
		{"a browser's password", []string{"Authorization", basic("anna", secret)}, 200, 303},
		{"no name", []string{"Authorization", basic("", secret)}, 200, 303},
		{"a program", []string{"Authorization", "Bearer " + secret}, 200, 303},
		{"in other letters", []string{"Authorization", "bearer  " + secret}, 200, 303},
		{"by way of a proxy", []string{"Authorization", basic("anna", secret), "Via", "1.1 squid", "X-Forwarded-For", "192.168.3.4"}, 200, 303},
		{"the token as the name", []string{"Authorization", basic(secret, "")}, 401, 401},
		{"a wrong one", []string{"Authorization", basic("anna", wrong)}, 401, 401},
		{"a part", []string{"Authorization", "Bearer " + secret[:20]}, 401, 401},
		{"more than it", []string{"Authorization", "Bearer " + secret + "0"}, 401, 401},
		{"another scheme", []string{"Authorization", "Digest " + secret}, 401, 401},
		{"no scheme", []string{"Authorization", secret}, 401, 401},
		{"for a proxy", []string{"Proxy-Authorization", basic("anna", secret)}, 401, 401},
		{"a stranger", []string{"Authorization", basic("anna", secret), "X-Forwarded-For", "198.51.100.7"}, 403, 403},
		{"its own page, by any name", []string{"Authorization", basic("anna", secret), "Sec-Fetch-Site", "same-origin", "Host", "alias.example:3180"}, 200, 303},
		{"another site's page", []string{"Authorization", basic("anna", secret), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 200, 403},
		{"another site's page in an old browser", []string{"Authorization", basic("anna", secret), "Origin", "https://evil.example"}, 200, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := m.get("/-/", c.fields...)
			if r.StatusCode != c.page {
				t.Errorf("the page: %s, want %d", r.Status, c.page)
			}
			if asks := r.Header.Get("WWW-Authenticate"); strings.HasPrefix(asks, "Basic realm=") != (c.page == 401) {
				t.Errorf("%s asks %q", r.Status, asks)
			}
			before := held
			if r := m.press("hold", "r/os", c.fields...); r.StatusCode != c.button {
				t.Errorf("the button: %s, want %d", r.Status, c.button)
			}
			if did := held - before; did != map[bool]int{true: 1}[c.button == 303] {
				t.Errorf("the button has done its work %d times", did)
			}
		})
	}
	if r := m.get("/-/?token="+secret, "X-Forwarded-For", "192.168.3.4"); r.StatusCode != 401 {
		t.Errorf("in a URL: %s", r.Status)
	}
	if r := m.get("/-/healthz"); r.StatusCode != 200 {
		t.Errorf("what is for all clients: %s", r.Status)
	}
	// The log tells of a wrong one, once, and of none what it is.
	log := m.log.String()
	if n := strings.Count(log, "is not the token of serve.admin_token"); n != 1 {
		t.Errorf("the log has told %d times of a wrong token", n)
	}
	m.close()
	for _, line := range strings.Split(log+m.access.String(), "\n") {
		if strings.Contains(line, secret[:20]) && !strings.Contains(line, "/-/?token=") {
			t.Errorf("a log has the token: %s", line)
		}
	}
}

// TestNoToken: a site without one asks for none, and takes none.
func TestNoToken(t *testing.T) {
	m := newMirror(t, setup{})
	for _, given := range []string{"Bearer ", "Bearer " + secret, basic("", "")} {
		r := m.get("/-/", "X-Forwarded-For", "192.168.3.4", "Authorization", given)
		if r.StatusCode != http.StatusForbidden || r.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%q: %s, %q", given, r.Status, r.Header.Get("WWW-Authenticate"))
		}
	}
	m.server.Reconfigure(m.server.o.Config, m.server.o.Mirrors, nil, must(NewToken(secret)))
	if r := m.get("/-/", "X-Forwarded-For", "192.168.3.4", "Authorization", "Bearer "+secret); r.StatusCode != 200 {
		t.Errorf("once it has one: %s", r.Status)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestNewToken(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good", secret, ""},
		{"empty", "", "0 characters"},
		{"short", secret[:19], "19 characters"},
		{"two lines", secret + "\n" + secret, "can't send"},
		{"a blank", secret + " x", "can't send"},
		{"other letters", secret + "ü", "can't send"},
	} {
		_, err := NewToken(c.text)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || c.text != "" && strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

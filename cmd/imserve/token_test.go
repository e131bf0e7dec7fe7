package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestAdminToken drives the program with a token: check and a start say why one can't
// be used, and a reload takes in a new one.
func TestAdminToken(t *testing.T) {
	up := testrepo.Start(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "token")
	put := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "first-0123456789abcdef", "second-0123456789abcdef"
	put(first+"\n", 0o640)
	m := startMirror(t, up, "listen = \"127.0.0.1:0\"\nadmins = []\nadmin_token = \""+file+"\"\n", 1)
	m.says(`(whoever is on the way can read the token)`)
	asks := func(token string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.addrs[0]+"/-/status.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with %s: %s, want %d", token, resp.Status, want)
		}
	}
	asks(first, 200)
	asks(second, 401)
	put(second, 0o600)
	m.reload(wasRead, 1)
	asks(first, 401)
	asks(second, 200)
	for i, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{second, 0o644, "everybody on this machine may read or write " + file},
		{"short", 0o600, "is no token: it has 5 characters"},
	} {
		put(c.text, c.mode)
		m.reload(stays, i+1)
		stdout, stderr := newOutput(), newOutput()
		if code := run(t.Context(), nil, []string{"check", "--config", m.file}, stdout, stderr); code != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("check: %d, %s", code, stderr)
		}
		asks(second, 200)
	}
	if strings.Contains(m.stderr.String(), first) || strings.Contains(m.stderr.String(), second) {
		t.Errorf("the log has a token:\n%s", m.stderr)
	}
}

package config

import (
	"strings"
	"testing"
)

func TestParseLogField(t *testing.T) {
	for _, c := range []struct {
		text string
		want LogField
		err  string
	}{
		{"client=remote_addr", LogField{"client", "remote_addr"}, ""},
		{"agent=request.headers.User-Agent", LogField{"agent", "request.headers.User-Agent"}, ""},
		{"time==", LogField{"time", "="}, ""},
		{"client", LogField{}, `no "="`},
		{"user=remote_user", LogField{}, "unknown"},
		{"=x", LogField{}, "unknown"},
		{"client=", LogField{}, "an empty name"},
		{"client=a..b", LogField{}, "an empty name"},
		{"client=.a", LogField{}, "an empty name"},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := parseLogField(c.text)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v, %v; want %+v, %q", got, err, c.want, c.err)
			}
		})
	}
}

// The default list is one that the key itself accepts.
func TestDefaultLogFields(t *testing.T) {
	for _, f := range DefaultLogFields() {
		if got, err := parseLogField(f.Of + "=" + f.Path); err != nil || got != f {
			t.Errorf("%+v: %+v, %v", f, got, err)
		}
	}
}

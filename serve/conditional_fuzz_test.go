package serve

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"intelligentmirror/internal/config"
)

// FuzzFields holds that no condition, directive or name of a client in a request's fields
// lets a part of one version be taken for another's, nor makes somebody an administrator
// or another client whom no trusted proxy has named.
func FuzzFields(f *testing.F) {
	f.Add(`"a"`, `W/"b", "c"`, `"a"`, "Sun, 22 Nov 2026 03:00:00 GMT", "no-cache, max-stale=5", "10.0.0.1, [::1]:80")
	f.Add("*", `"a`, `W/"a"`, "Sunday, 22-Nov-26 03:00:00 GMT", `only-if-cached="x"`, "unknown, 127.0.0.1")
	f.Add("", ",,", "\x00", "-1", "=,;", "fe80::1%eth0,")
	trusted := config.Networks{netip.MustParsePrefix("192.0.2.0/24")}
	f.Fuzz(func(t *testing.T, match, noneMatch, ifRange, since, directives, forwarded string) {
		v := validators{tag: `"a"`, modified: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)}
		h := http.Header{"If-Range": {ifRange}, "If-Modified-Since": {since}, "Cache-Control": {directives}}
		if rangeFits(h, v, v.modified.Add(time.Hour)) && ifRange != `"a"` {
			if _, err := http.ParseTime(ifRange); err != nil && len(entityOf(ifRange)) == 0 {
				t.Errorf("If-Range: %q is of this version", ifRange)
			}
		}
		asks(h, "no-store")
		asksStale(h)
		h = http.Header{"If-Match": {match}, "If-None-Match": {noneMatch}, "If-Unmodified-Since": {since}}
		if precondition(h, validators{}) == proceed && !matches(match, "", strong) {
			t.Errorf("If-Match: %q is met by a file without a tag", match)
		}
		precondition(h, v)
		stranger := netip.MustParseAddr("198.51.100.7")
		if got := behind(stranger, forwarded, trusted); got != stranger {
			t.Errorf("%q makes a stranger %s", forwarded, got)
		}
		if got := behind(netip.MustParseAddr("192.0.2.1"), forwarded, trusted); !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q makes a proxy's client %s", forwarded, got)
		}
	})
}

// entityOf is the entity tag that s begins with.
func entityOf(s string) string {
	tag, _, _ := entityTag(s)
	return tag
}

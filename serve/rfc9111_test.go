package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cache-Status values of the turns below.
const (
	isHit      = "imserve; hit"
	isMiss     = "imserve; fwd=uri-miss; stored"
	isSame     = "imserve; fwd=stale; fwd-status=304"
	isReplaced = "imserve; fwd=stale; fwd-status=200; stored"
	isPassed   = "imserve; fwd=bypass"
	isNotKept  = "imserve; fwd=bypass; detail=unstorable"
	isOffline  = "imserve; hit; detail=upstream-unreachable"
	isRefused  = "imserve; detail=only-if-cached"
	isGone     = "imserve; fwd=uri-miss; detail=upstream-unreachable"
)

// miss is a request for a file that is not stored: the host is asked for it.
func miss(origin http.HandlerFunc, fields ...string) turn {
	return turn{origin: origin, fields: fields, code: 200, status: isMiss, body: testPackage, has: []string{"Age", ""}, asked: []string{"GET"}}
}

// hit is a request that the stored copy answers, with nothing asked.
func hit(fields ...string) turn {
	return turn{fields: fields, code: 200, status: isHit, body: testPackage}
}

// passed is a request that is relayed.
func passed(status string, fields ...string) turn {
	return turn{fields: fields, code: 200, status: status, body: testPackage, asked: []string{"GET"}}
}

// aged is s after a time.
func aged(d time.Duration, s turn) turn {
	s.later = d
	return s
}

// TestStoring: RFC 9111, 3: what may be stored, and what becomes of the rest.
func TestStoring(t *testing.T) {
	plain := sends(200, testPackage, "Last-Modified", dated)
	unasked := func(code int) []turn {
		return []turn{{origin: sends(code, testPackage), code: 502, status: isGone, asked: []string{"GET"}}}
	}
	play(t, []exchange{
		{name: "3: a final answer to GET is stored", kept: true, turns: []turn{miss(plain), hit()}},
		{name: "3: a status that nobody knows is not", turns: unasked(299)},
		{name: "3: one that a transforming proxy made is not", turns: unasked(203)},
		{name: "3: a part that nobody asked for is not", turns: []turn{
			{origin: sends(206, testPackage[:100], "Content-Range", "bytes 0-99/3000"), code: 502, status: isGone, asked: []string{"GET", "GET"}},
		}},
		{name: "3: an answer to HEAD is not", turns: []turn{
			{origin: plain, method: "HEAD", code: 200, status: "imserve; fwd=uri-miss; fwd-status=200", asked: []string{"HEAD"}},
		}},
		{name: "3: an answer to another method is not", forms: []form{byProxy, byAlias}, turns: []turn{
			{origin: plain, method: "POST", code: 200, status: isPassed, body: testPackage, asked: []string{"POST"}},
		}},
		{name: "3: no-store is heeded of a host that nobody configured", forms: []form{byProxy}, turns: []turn{
			{origin: sends(200, testPackage, "Cache-Control", "max-age=60, No-Store"), code: 200, status: isNotKept, body: testPackage, asked: []string{"GET", "GET"}},
		}},
		{name: "3: departure: no-store of a configured upstream is not heeded", forms: []form{byMirror, byAlias}, kept: true, turns: []turn{
			miss(sends(200, testPackage, "Cache-Control", "no-store")), hit(),
		}},
		{name: "3, 5.2.2.7: private is heeded", forms: []form{byProxy}, turns: []turn{
			{origin: sends(200, testPackage, "Cache-Control", `private="x, y"`), code: 200, status: isNotKept, body: testPackage, asked: []string{"GET", "GET"}},
		}},
		{name: "3.1: fields of the connection and of one client are not stored", kept: true, turns: []turn{
			miss(sends(200, testPackage, "Set-Cookie", "a=b", "Keep-Alive", "timeout=5", "Proxy-Authenticate", "Basic", "X-Hop", "1", "Connection", "X-Hop")),
			{code: 200, status: isHit, body: testPackage, has: []string{"Set-Cookie", "", "Keep-Alive", "", "Proxy-Authenticate", "", "X-Hop", "", "Connection", ""}},
		}},
		{name: "3.5: who shows credentials is passed on, and nothing is stored", forms: []form{byProxy, byAlias}, turns: []turn{
			{origin: plain, fields: []string{"Authorization", "Basic eDp5"}, code: 200, status: isPassed, body: testPackage, asked: []string{"GET"}},
		}},
		{name: "3.5: a stored answer is not given to who shows credentials", forms: []form{byProxy, byAlias}, kept: true, turns: []turn{
			miss(plain), passed(isPassed, "Authorization", "Basic eDp5"),
		}},
		{name: "5.2: unknown directives say nothing", kept: true, turns: []turn{miss(sends(200, testPackage, "Cache-Control", `x-new, community="UCI"`)), hit()}},
		{name: "5.2.1.5: no-store of a proxy's client is heeded", forms: []form{byProxy}, turns: []turn{
			{origin: plain, fields: []string{"Cache-Control", "NO-STORE"}, code: 200, status: isPassed, body: testPackage, asked: []string{"GET"}},
		}},
		{name: "5.2.1.5: departure: of a repository's client it is not", forms: []form{byMirror, byAlias}, kept: true, turns: []turn{
			miss(plain, "Cache-Control", "no-store"), hit(),
		}},
		{name: "5.2.1.6: nothing is transformed", kept: true, path: "repodata/x.xml.gz", turns: []turn{
			{origin: sends(200, []byte("\x1f\x8b packed"), "Content-Type", "application/gzip"), fields: []string{"Accept-Encoding", "gzip"}, code: 200, status: isMiss,
				body: []byte("\x1f\x8b packed"), has: []string{"Content-Encoding", ""}, asked: []string{"GET"}},
		}},
		{name: "4.1: Vary: * is never stored", forms: []form{byProxy}, turns: []turn{
			{origin: sends(200, testPackage, "Vary", "*"), code: 200, status: isNotKept, body: testPackage, asked: []string{"GET", "GET"}},
		}},
		{name: "4.1: departure: what varies by client is stored as it comes unencoded", kept: true, turns: []turn{
			miss(sends(200, testPackage, "Vary", "Accept-Encoding, User-Agent")), hit("Accept-Encoding", "gzip", "User-Agent", "other"),
		}},
	})
}

// TestReuse: RFC 9111, 4, 5: when a stored copy answers, and what is asked before.
func TestReuse(t *testing.T) {
	tagged := sends(200, testPackage, "ETag", `"one"`, "Last-Modified", dated)
	same := func(s turn) turn {
		s.code, s.status, s.asked = 200, isSame, []string{`GET "one" if`}
		s.origin = sends(304, nil, "ETag", `"one"`)
		return s
	}
	asksAnew := same(turn{later: 2 * time.Hour, body: testPackage, has: []string{"Age", "0"}})
	play(t, []exchange{
		{name: "4: HEAD is answered from a stored GET", kept: true, turns: []turn{
			miss(tagged), {method: "HEAD", code: 200, status: isHit, has: []string{"Content-Length", "3000"}},
		}},
		{name: "4.2, 5.2.2.1, 5.3: departure: our own ages count, not max-age or Expires", kept: true, turns: []turn{
			miss(sends(200, testPackage, "Last-Modified", dated, "Cache-Control", "max-age=5, s-maxage=5", "Expires", "0")),
			aged(59*time.Minute, hit()),
			{later: time.Hour, origin: sends(304, nil), code: 200, status: isSame, body: testPackage, asked: []string{"GET if"}},
		}},
		{name: "4.2: departure: nor do they make a copy fresh for longer", kept: true, turns: []turn{
			miss(sends(200, testPackage, "Last-Modified", dated, "Cache-Control", "max-age=31536000, immutable")),
			{later: 2 * time.Hour, origin: sends(304, nil), code: 200, status: isSame, body: testPackage, asked: []string{"GET if"}},
		}},
		{name: "4.2.3, 5.1: Age counts from the last validation", kept: true, turns: []turn{
			miss(tagged),
			{later: 42 * time.Second, code: 200, status: isHit, has: []string{"Age", "42"}},
			{later: 8 * time.Second, code: 200, status: isHit, has: []string{"Age", "50"}},
			asksAnew,
			{later: 3 * time.Second, code: 200, status: isHit, has: []string{"Age", "3"}},
		}},
		{name: "4.2.4: disconnected, a stale copy is served, with its Age", kept: true, turns: []turn{
			miss(tagged), {later: 2 * time.Hour, down: true, code: 200, status: isOffline, body: testPackage, has: []string{"Age", "7200", "Warning", ""}},
		}},
		{name: "4.2.4, 5.2.2.2: departure: must-revalidate too", kept: true, turns: []turn{
			miss(sends(200, testPackage, "Last-Modified", dated, "Cache-Control", "must-revalidate, proxy-revalidate")),
			{later: 2 * time.Hour, down: true, code: 200, status: isOffline, body: testPackage},
		}},
		{name: "4.3.1: all validators that the address gave are sent back to it", kept: true, turns: []turn{miss(tagged), asksAnew}},
		{name: "4.3.3: 304: the stored copy", kept: true, turns: []turn{miss(tagged), asksAnew, hit()}},
		{name: "4.3.3: 200: the new one, which replaces it", kept: true, turns: []turn{
			miss(tagged),
			{later: 2 * time.Hour, origin: sends(200, testUpdate, "ETag", `"two"`), code: 200, status: isReplaced, body: testUpdate, asked: []string{`GET "one" if`}},
			{code: 200, status: isHit, body: testUpdate},
		}},
		{name: "4.3.3: 500: the stored copy, as if disconnected", kept: true, turns: []turn{
			miss(tagged),
			{later: 2 * time.Hour, origin: sends(500, nil), code: 200, status: isOffline, body: testPackage, asked: []string{`GET "one" if`}},
		}},
		{name: "4.3.3: a 404 is the answer", turns: []turn{
			miss(tagged),
			{later: 2 * time.Hour, origin: sends(404, nil), code: 404, status: "imserve; fwd=uri-miss; fwd-status=404", asked: []string{`GET "one" if`}},
		}},
		{name: "4.3.2: a client's own conditions are answered from the stored copy", kept: true, turns: []turn{
			miss(tagged), {fields: []string{"If-Modified-Since", dated}, code: 304, status: isHit},
			{fields: []string{"If-None-Match", `"one"`}, code: 200, status: isHit, body: testPackage}, // that tag is not ours
		}},
		{name: "4.3.4: what 304 confirms stays as it is", kept: true, turns: []turn{
			miss(tagged),
			same(turn{later: 2 * time.Hour, body: testPackage, has: []string{"Last-Modified", dated, "Content-Type", "application/x-rpm"}}),
		}},
		{name: "4.3.5: HEAD has a stale copy validated by the same request", kept: true, turns: []turn{
			miss(tagged), same(turn{later: 2 * time.Hour, method: "HEAD"}), hit(),
		}},
		{name: "5.2.1.1, .2, .3, .4, 5.4: departure: no-cache and ages of a client's do not shorten ours", kept: true, turns: []turn{
			miss(tagged), hit("Cache-Control", "no-cache", "Pragma", "no-cache"), hit("Cache-Control", "max-age=0"), hit("Cache-Control", "min-fresh=86400"),
		}},
		{name: "5.2.1.2: departure: nor does max-stale lengthen them", kept: true, turns: []turn{
			miss(tagged), same(turn{later: 2 * time.Hour, fields: []string{"Cache-Control", "max-stale"}, body: testPackage}),
		}},
		{name: "5.2.1.7: only-if-cached: what is not stored is not asked for", turns: []turn{
			{origin: tagged, fields: []string{"Cache-Control", "Only-If-Cached"}, code: 504, status: isRefused, has: []string{"Cache-Control", "no-store"}},
		}},
		{name: "5.2.1.7: only-if-cached: the fresh copy, not the stale one", kept: true, turns: []turn{
			miss(tagged), hit("Cache-Control", "only-if-cached"),
			{later: 2 * time.Hour, fields: []string{"Cache-Control", "no-cache", "Cache-Control", "max-age=5, only-if-cached"}, code: 504, status: isRefused},
		}},
		{name: "5.2.1.2, 5.2.1.7: only-if-cached, max-stale: the stale copy too, as siblings ask", kept: true, turns: []turn{
			miss(tagged),
			{later: 2 * time.Hour, fields: []string{"Cache-Control", "only-if-cached, max-stale"}, code: 200, status: isHit, body: testPackage, has: []string{"Age", "7200"}},
			{fields: []string{"Cache-Control", "only-if-cached, max-stale=5"}, code: 504, status: isRefused},
		}},
		{name: "5.2.1.7: only-if-cached: nothing is relayed", path: "notes", turns: []turn{
			{origin: tagged, fields: []string{"Cache-Control", "only-if-cached"}, code: 504, status: isRefused},
		}},
		{name: "5.2.2.4: departure: no-cache of upstream's is a copy like others", kept: true, turns: []turn{
			miss(sends(200, testPackage, "Cache-Control", "no-cache", "Last-Modified", dated)), hit(),
		}},
	})
}

// TestInvalidation: RFC 9111, 4.4: what may have changed a file has it asked for
// again, and nothing else does.
func TestInvalidation(t *testing.T) {
	tagged := sends(200, testPackage, "ETag", `"one"`, "Last-Modified", dated)
	through := []form{byProxy, byAlias} // a mirror's own path takes no such request
	var cases []exchange
	for _, method := range []string{"PUT", "POST", "DELETE", "PATCH", "X-UNKNOWN"} {
		for _, code := range []int{204, 303} {
			cases = append(cases, exchange{name: "4.4: " + method + " that has not failed: " + http.StatusText(code), forms: through, kept: true, turns: []turn{
				miss(tagged),
				{origin: sends(code, nil), method: method, code: code, status: isPassed, asked: []string{method}},
				{origin: sends(304, nil), code: 200, status: isSame, body: testPackage, asked: []string{`GET "one" if`}},
				hit(),
			}})
		}
		for _, code := range []int{405, 500} {
			cases = append(cases, exchange{name: "4.4: " + method + " that has failed: " + http.StatusText(code), forms: through, kept: true, turns: []turn{
				miss(tagged), {origin: sends(code, nil), method: method, code: code, status: isPassed, asked: []string{method}}, hit(),
			}})
		}
	}
	for _, method := range []string{"OPTIONS", "TRACE"} {
		cases = append(cases, exchange{name: "4.4: " + method + ", which is safe", forms: through, kept: true, turns: []turn{
			miss(tagged), {origin: sends(200, nil), method: method, code: 200, status: isPassed, asked: []string{method}}, hit(),
		}})
	}
	cases = append(cases, exchange{name: "4.4: of what is not stored", forms: through, turns: []turn{
		{origin: sends(204, nil), method: "DELETE", code: 204, status: isPassed, asked: []string{"DELETE"}},
	}}, exchange{name: "4.4: by the mirror's path nobody changes anything", forms: []form{byMirror}, kept: true, turns: []turn{
		miss(tagged), {method: "PUT", code: 405, status: "imserve", has: []string{"Allow", "GET, HEAD"}}, hit(),
	}})
	play(t, cases)
}

// TestCombining: RFC 9111, 3.3 and 3.4: a part is no whole, and two parts are of
// one file only where a strong validator says so. The host breaks its first answer
// off; what it is asked then shows what its validators were taken for.
func TestCombining(t *testing.T) {
	const half = 1500
	settled := []string{"Last-Modified", dated}
	for _, tt := range []struct {
		name   string
		first  []string // fields of the answer that breaks off
		length bool     // that it tells its length
		then   string   // what the host is asked next
	}{
		{"3.4: a strong tag", []string{"ETag", `"one"`, "Last-Modified", dated}, true, `GET bytes=1500- "one"`},
		{"3.4: a strong tag, in chunks", []string{"ETag", `"one"`}, false, `GET bytes=1500- "one"`},
		{"3.4: a weak tag", []string{"ETag", `W/"one"`}, true, "GET"},
		{"9110, 13.1.5: a weak tag beside a time", []string{"ETag", `W/"one"`, "Last-Modified", dated}, true, "GET"},
		{"9110, 8.8.2.2: a time long before the answer", settled, true, "GET bytes=1500- " + dated},
		{"9110, 8.8.2.2: a time in the second of the answer", []string{"Last-Modified", dated, "Date", dated}, true, "GET"},
		{"3.4: no validator", nil, true, "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t)
			var ranges []string
			o.does(func(w http.ResponseWriter, r *http.Request) {
				first := len(ranges) == 0
				ranges = append(ranges, r.Header.Get("Range"))
				h := w.Header()
				for i := 0; i+1 < len(tt.first); i += 2 {
					h.Set(tt.first[i], tt.first[i+1])
				}
				switch from, err := strconv.Atoi(strings.Trim(r.Header.Get("Range"), "bytes=-")); {
				case first:
					if tt.length {
						h.Set("Content-Length", fmt.Sprint(len(testPackage)))
					}
					w.Write(testPackage[:half])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				case err == nil:
					h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(testPackage)-1, len(testPackage)))
					w.WriteHeader(http.StatusPartialContent)
					w.Write(testPackage[from:])
				default:
					w.Write(testPackage)
				}
			})
			// An answer that began with bytes of the first try may be broken off.
			for whole := false; !whole; {
				r := o.do(o.request("GET", "/q/Packages/a-1-1.noarch.rpm"))
				if whole = r.err == nil && r.StatusCode == 200; whole && !bytes.Equal(r.body, testPackage) {
					t.Fatalf("%d bytes look whole", len(r.body))
				}
			}
			o.quiet()
			if asked := o.took(); len(asked) < 2 || asked[0] != "GET" || asked[1] != tt.then {
				t.Errorf("the host was asked %q, want %q after the first", asked, tt.then)
			}
			if got := o.files(); !slices.Equal(got, []string{"q/Packages/a-1-1.noarch.rpm"}) {
				t.Errorf("stored: %q", got)
			}
		})
	}
	t.Run("3.3: what was broken off answers nothing", func(t *testing.T) {
		o := newOrigin(t)
		o.does(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(testPackage)))
			w.Write(testPackage[:half])
			panic(http.ErrAbortHandler)
		})
		for range 2 {
			if r := o.do(o.request("GET", "/q/Packages/a-1-1.noarch.rpm")); r.err == nil && r.StatusCode == 200 {
				t.Errorf("%d bytes look whole", len(r.body))
			}
			o.quiet()
		}
		if got := o.files(); len(got) > 0 {
			t.Errorf("stored: %q", got)
		}
	})
}

package testrepo

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// LogFormat is a form of access log.
type LogFormat int

// The formats of WriteLog.
const (
	// Common is Apache's and nginx's log without Referer and User-Agent.
	Common LogFormat = iota
	// Combined is the same with them.
	Combined
	// Squid is squid's native format: absolute URLs, and the time of the answer's end.
	Squid
	// Own is imserve's: combined, the Cache-Status, the duration in seconds.
	Own
)

// String is the format's name.
func (f LogFormat) String() string {
	return [...]string{"common", "combined", "squid", "imserve"}[f]
}

// WriteLog writes the visits as a log of format f, each program's quirks
// included: common and combined call an aborted request 499 as nginx does, squid
// 000. The formats tell the same traffic, but for one thing: common and squid
// have no User-Agent by which imsync's own requests could be told, so they have
// none of these.
func WriteLog(w io.Writer, f LogFormat, visits []Visit) error {
	if f == Squid {
		visits = slices.Clone(visits)
		slices.SortStableFunc(visits, func(a, b Visit) int { return cmp.Compare(a.end(), b.end()) })
	}
	out := bufio.NewWriter(w)
	for _, v := range visits {
		if strings.HasPrefix(v.Agent, "imsync/") && (f == Common || f == Squid) {
			continue
		}
		// The Writer keeps the first error for Flush.
		_, _ = out.WriteString(v.line(f) + "\n")
	}
	return out.Flush()
}

// end is the time of the answer's end, in milliseconds.
func (v *Visit) end() int64 { return v.Time.Add(v.Took).UnixMilli() }

func (v *Visit) line(f LogFormat) string {
	if f == Squid {
		return v.squid()
	}
	status, size := v.Status, fmt.Sprint(v.Bytes)
	if f == Own && v.Result == Aborted {
		status = 200
	}
	if f == Common && v.Bytes == 0 {
		size = "-"
	}
	request := quoted(v.Target)
	if v.Method != "" {
		request = v.Method + " " + request + " HTTP/1.1"
	}
	line := fmt.Sprintf(`%s - - [%s] "%s" %d %s`,
		v.Client, v.Time.Format("02/Jan/2006:15:04:05 -0700"), request, status, size)
	if f == Common {
		return line
	}
	line += fmt.Sprintf(` "-" "%s"`, quoted(cmp.Or(v.Agent, "-")))
	if f == Combined {
		return line
	}
	return line + fmt.Sprintf(` "%s" %.3f`, v.cacheStatus(), v.Took.Seconds())
}

// quoted escapes as Apache and nginx do between quotation marks.
func quoted(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// cacheStatus is the answer's Cache-Status, as imserve logs it.
func (v *Visit) cacheStatus() string {
	return "imserve; " + [...]string{
		Hit:       "hit",
		Miss:      "fwd=uri-miss; stored",
		Validated: "fwd=stale; fwd-status=304",
		NotFound:  "fwd=uri-miss; fwd-status=404",
		Bypassed:  "fwd=bypass",
		Tunnel:    "fwd=bypass",
		Aborted:   "hit; detail=aborted",
	}[v.Result]
}

// squid is the line in squid's native format.
func (v *Visit) squid() string {
	code := [...]string{
		Hit:       "TCP_HIT",
		Miss:      "TCP_MISS",
		Validated: "TCP_REFRESH_UNMODIFIED",
		NotFound:  "TCP_MISS",
		Bypassed:  "TCP_MISS",
		Tunnel:    "TCP_TUNNEL",
		Aborted:   "TCP_MISS_ABORTED",
	}[v.Result]
	method, url, status, from, typ := v.Method, v.URL, v.Status, "HIER_DIRECT/192.0.2.80", "-"
	switch {
	case v.Method == "":
		code, method, url, from, typ = "NONE_NONE", "NONE", "error:invalid-request", "HIER_NONE/-", "text/html"
	case v.Result == Hit:
		from = "HIER_NONE/-"
	case v.Result == Aborted:
		status = 0
	}
	if strings.HasSuffix(url, ".rpm") && status == 200 {
		typ = "application/x-rpm"
	}
	end := v.end()
	return fmt.Sprintf("%d.%03d %6d %s %s/%03d %d %s %s - %s %s",
		end/1000, end%1000, v.Took/time.Millisecond, v.Client, code, status, v.Bytes, method, url, from, typ)
}

package testrepo

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var until = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func logOf(t *testing.T, f LogFormat, visits []Visit) []string {
	t.Helper()
	var buf bytes.Buffer
	if err := WriteLog(&buf, f, visits); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n")
}

func TestTraffic(t *testing.T) {
	specs := Campus(1)
	visits := Traffic(TrafficOptions{Seed: 1, Specs: specs, Until: until})
	if n := len(visits); n < 2000 || n > 9000 {
		t.Errorf("%d visits, want a few thousand", n)
	}
	known := make(map[string]bool)
	for _, s := range specs {
		known[s.Name] = true
	}
	seen := make(map[string]int)
	days := make(map[string]map[string]bool) // package: clients and days
	for i, v := range visits {
		if !v.Time.Before(until) || v.Time.Before(until.AddDate(0, 0, -14)) {
			t.Errorf("%s is not in the fourteen days", v.Time)
		}
		if i > 0 && v.Time.Before(visits[i-1].Time) {
			t.Errorf("visit %d is before the one before it", i)
		}
		if begin, end := v.Time.Hour(), v.Time.Add(v.Took).Hour(); begin < 2 || end >= 22 {
			t.Errorf("%s is near midnight", v.Time)
		}
		seen[v.Method]++
		seen[fmt.Sprint(v.Status)]++
		seen[fmt.Sprint("result ", v.Result)]++
		if strings.Contains(v.Target, "%2B") {
			seen["escaped"]++
		}
		if strings.Contains(v.Target, "libstdc++") {
			seen["plain"]++
		}
		if strings.HasPrefix(v.Agent, "imsync/") {
			seen["imsync"]++
		}
		if v.Client.Is6() {
			seen["IPv6"]++
		}
		if strings.Contains(v.Target, "/kernel-core-6.11.4-300.fc41") {
			seen["the kernel before"]++
		}
		if v.Status == 304 && strings.HasSuffix(v.Target, "/repomd.xml") {
			seen["repomd.xml, not modified"]++
		}
		if v.Package == "" {
			continue
		}
		target, err := url.PathUnescape(v.Target)
		if err != nil || !known[v.Package] || !strings.Contains(target, "/"+v.Package+"-") ||
			v.Method != "GET" || !slices.Contains([]int{200, 206, 304}, v.Status) || strings.HasPrefix(v.Agent, "imsync") {
			t.Errorf("counts for %s: %+v", v.Package, v)
		}
		if days[v.Package] == nil {
			days[v.Package] = make(map[string]bool)
		}
		days[v.Package][v.Client.String()+v.Time.Format(time.DateOnly)] = true
	}
	for _, want := range []string{"", "GET", "HEAD", "POST", "CONNECT", "200", "206", "304", "400", "404", "499", "escaped", "plain",
		"imsync", "IPv6", "the kernel before", "repomd.xml, not modified", "result 0", "result 1", "result 2", "result 3", "result 4", "result 5", "result 6"} {
		if seen[want] == 0 {
			t.Errorf("no visit with %q", want)
		}
	}
	counts := slices.Sorted(maps.Values(func() map[string]int {
		m := make(map[string]int)
		for name, d := range days {
			m[name] = len(d)
		}
		return m
	}()))
	slices.Reverse(counts)
	if len(counts) < 100 || counts[0] < 20 || counts[len(counts)*3/4] > 5 {
		t.Errorf("client-days by package do not look like a Zipf law: %v", counts)
	}
	t.Logf("%d visits, %d packages, client-days %v...", len(visits), len(counts), counts[:10])
}

func TestTrafficDependsOnItsArgumentsAlone(t *testing.T) {
	o := TrafficOptions{Seed: 4, Until: until, Days: 3, Clients: 10}
	first := logOf(t, Own, Traffic(o))
	if diff := cmp.Diff(first, logOf(t, Own, Traffic(o))); diff != "" {
		t.Error(diff)
	}
	o.Seed = 5
	if slices.Equal(first, logOf(t, Own, Traffic(o))) {
		t.Error("another seed, the same traffic")
	}
}

func TestTrafficEndsInTime(t *testing.T) {
	noon := until.Add(-12 * time.Hour)
	visits := Traffic(TrafficOptions{Seed: 1, Until: noon, Days: 2})
	if last := visits[len(visits)-1].Time; !last.Before(noon) || last.Before(noon.Add(-6*time.Hour)) {
		t.Errorf("the last visit is at %s, want one not long before %s", last, noon)
	}
}

// The parts of a line, by format. They are stricter than a reader of logs would be.
var lineForms = map[LogFormat]*regexp.Regexp{
	Common:   regexp.MustCompile(`^(\S+) - - \[([^]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)$`),
	Combined: regexp.MustCompile(`^(\S+) - - \[([^]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) "-" "(?:[^"\\]|\\.)*"$`),
	Own:      regexp.MustCompile(`^(\S+) - - \[([^]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) "-" "(?:[^"\\]|\\.)*" "imserve; [a-z0-9=;, -]+" \d+\.\d{3}$`),
	Squid:    regexp.MustCompile(`^(\d+\.\d{3}) +\d+ (\S+) [A-Z_]+/(\d{3}) (\d+) (\S+) (\S+) - HIER_[A-Z]+/\S+ \S+$`),
}

// TestFormatsTellTheSame reads the packages of successful GETs out of each log,
// with client and day.
func TestFormatsTellTheSame(t *testing.T) {
	visits := Traffic(TrafficOptions{Seed: 2, Until: until, Days: 7, Clients: 40})
	want := make(map[string]int)
	for _, v := range visits {
		if v.Package != "" {
			unescaped, err := url.PathUnescape(v.Target)
			if err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprint(v.Client, v.Time.Format(time.DateOnly), unescaped[strings.LastIndex(unescaped, "/"):])]++
		}
	}
	for f, form := range lineForms {
		t.Run(f.String(), func(t *testing.T) {
			got := make(map[string]int)
			for _, line := range logOf(t, f, visits) {
				m := form.FindStringSubmatch(line)
				if m == nil {
					t.Fatalf("line %q is not of the form", line)
				}
				var client, method, target, status, day string
				if f == Squid {
					at, err := strconv.ParseFloat(m[1], 64)
					if err != nil {
						t.Fatal(err)
					}
					client, method, target, status = m[2], m[5], m[6], m[3]
					day = time.Unix(int64(at), 0).UTC().Format(time.DateOnly)
				} else {
					at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
					if err != nil {
						t.Fatal(err)
					}
					client, status, day = m[1], m[4], at.Format(time.DateOnly)
					if fields := strings.Fields(m[3]); len(fields) == 3 {
						method, target = fields[0], fields[1]
					}
				}
				ours := !strings.Contains(line, "imsync/") && !strings.Contains(line, "detail=aborted")
				if ours && method == "GET" && strings.HasSuffix(target, ".rpm") && slices.Contains([]string{"200", "206", "304"}, status) {
					unescaped, err := url.PathUnescape(target)
					if err != nil {
						t.Fatal(err)
					}
					got[client+day+unescaped[strings.LastIndex(unescaped, "/"):]]++
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-visits +log)\n%s", diff)
			}
		})
	}
}

func TestLines(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 12, 44, 0, time.UTC)
	const path = "/fedora/updates/41/Everything/x86_64/Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm"
	vlc := Visit{
		Time: at, Took: 4 * time.Millisecond, Client: mirrorAddr, Method: "GET", Target: path,
		URL: "http://dl.example.org" + path, Status: 200, Bytes: 8000123, Agent: "libdnf (Fedora Linux 41)",
	}
	aborted := vlc
	aborted.Status, aborted.Result, aborted.Bytes = 499, Aborted, 0
	noise := Visit{Time: at, Took: time.Second, Client: mirrorAddr, Target: "\x16\"\\", Status: 400, Bytes: 11, Result: Bypassed}
	sync := vlc
	sync.Agent = "imsync/1.0"
	const head = `10.20.0.2 - - [21/Nov/2026:09:12:44 +0000] `
	for _, tt := range []struct {
		name   string
		visit  Visit
		format LogFormat
		want   string
	}{
		{"own", vlc, Own, head + `"GET ` + path + ` HTTP/1.1" 200 8000123 "-" "libdnf (Fedora Linux 41)" "imserve; hit" 0.004`},
		{"combined", vlc, Combined, head + `"GET ` + path + ` HTTP/1.1" 200 8000123 "-" "libdnf (Fedora Linux 41)"`},
		{"common", vlc, Common, head + `"GET ` + path + ` HTTP/1.1" 200 8000123`},
		{"squid", vlc, Squid, `1795252364.004      4 10.20.0.2 TCP_HIT/200 8000123 GET http://dl.example.org` + path + ` - HIER_NONE/- application/x-rpm`},
		{"own, aborted", aborted, Own, head + `"GET ` + path + ` HTTP/1.1" 200 0 "-" "libdnf (Fedora Linux 41)" "imserve; hit; detail=aborted" 0.004`},
		{"common, aborted", aborted, Common, head + `"GET ` + path + ` HTTP/1.1" 499 -`},
		{"squid, aborted", aborted, Squid, `1795252364.004      4 10.20.0.2 TCP_MISS_ABORTED/000 0 GET http://dl.example.org` + path + ` - HIER_DIRECT/192.0.2.80 -`},
		{"combined, noise", noise, Combined, head + `"\x16\"\\" 400 11 "-" "-"`},
		{"squid, noise", noise, Squid, `1795252365.000   1000 10.20.0.2 NONE_NONE/400 11 NONE error:invalid-request - HIER_NONE/- text/html`},
		{"squid, imsync", sync, Squid, ``},
		{"combined, imsync", sync, Combined, head + `"GET ` + path + ` HTTP/1.1" 200 8000123 "-" "imsync/1.0"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(logOf(t, tt.format, []Visit{tt.visit}), "\n")
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

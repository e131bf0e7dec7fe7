package popularity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// answer is a line of a client's request at a second of the test's day.
func answer(client string, second int, path string, status int) string {
	at := now.Truncate(24 * time.Hour).Add(time.Duration(second) * time.Second)
	return fmt.Sprintf("%s - - [%s] \"GET %s HTTP/1.1\" %d 100 \"-\" \"x\"\n", client, at.Format("02/Jan/2006:15:04:05 -0700"), path, status)
}

func aPackage(n int) string { return fmt.Sprintf("/fedora/p/pkg%d-1-1.x86_64.rpm", n) }

// Who mostly asks for what is not there is a scanner, and does not count; who
// now and then does is a client.
func TestScanners(t *testing.T) {
	many := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	missing := func(path string, n int) func(client string) string {
		return func(client string) string {
			return many(n, func(i int) string { return answer(client, i, fmt.Sprintf(path, i), 404) })
		}
	}
	for _, c := range []struct {
		name  string
		lines func(client string) string
		found int // packages that it got
		want  int // packages that it counts for
	}{
		{"nothing missing", func(string) string { return "" }, 3, 3},
		{"a scan of a web server", missing("/wp-admin/%d.php", 50), 3, 0},
		{"a scan for packages", missing("/fedora/p/guess%d-1-1.x86_64.rpm", 50), 3, 0},
		{"gone rather than not found", func(client string) string {
			return many(50, func(i int) string { return answer(client, i, fmt.Sprintf("/x%d", i), 410) })
		}, 3, 0},
		{"as few as stale metadata has", missing("/fedora/p/old%d-1-1.x86_64.rpm", minMissing-1), 3, 3},
		{"just as many as a scan", missing("/fedora/p/old%d-1-1.x86_64.rpm", minMissing), 3, 0},
		{"more found than missing", missing("/fedora/p/old%d-1-1.x86_64.rpm", minMissing), 30, 30},
		{"one file again and again", func(client string) string {
			return many(500, func(i int) string { return answer(client, i, "/fedora/gone/repodata/repomd.xml", 404) })
		}, 3, 3},
		{"one file in two spellings", func(client string) string {
			return many(60, func(i int) string {
				return answer(client, i, []string{"/fedora/x+y/a", "/fedora/x%2By/a", "http://dl.fedoraproject.org/pub/fedora/linux/x+y/a"}[i%3], 404)
			})
		}, 3, 3},
		{"elsewhere, by way of the proxy", missing("http://example.org/%d", 50), 3, 3},
		{"refused is not missing", func(client string) string {
			return many(50, func(i int) string { return answer(client, i, fmt.Sprintf("/x%d", i), 403) })
		}, 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.lines("10.0.0.1") + many(c.found, func(i int) string { return answer("10.0.0.1", 1000+i, aPackage(i), 200) }) +
				answer("10.0.0.2", 1, "/fedora/p/other-1-1.x86_64.rpm", 200)
			lines := strings.SplitAfter(text, "\n")
			r := rand.New(rand.NewPCG(1, 1))
			for _, limit := range []int{batchRequests, 7} {
				dir := t.TempDir()
				o := options()
				clock := now
				o.Clock = func() time.Time { return clock }
				s := openStore(t, dir, o)
				s.limit = limit
				r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
				writeFile(t, dir+"/log", strings.Join(lines, ""))
				ingest1(t, s, dir+"/log")
				check := func(when string) {
					t.Helper()
					if got := len(ranks(t, s)); got != c.want+1 {
						t.Errorf("%s, %d lines a batch: %d names, want %d", when, limit, got, c.want+1)
					}
				}
				check("open")
				clock = clock.AddDate(0, 0, 20)
				ingest1(t, s, dir+"/log")
				if count(t, s, "requests") != 0 {
					t.Fatal("the day is open")
				}
				clock = now
				check("closed")
			}
		})
	}
}

// The number of many is told from the few that are kept, in any order.
func TestCountMissing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{0, 1, minMissing, maxMissing - 1, 100, 1000, 100_000} {
		hashes := make([]uint64, n)
		for i := range hashes {
			hashes[i] = r.Uint64()
		}
		var list []uint64
		for range 2 {
			for _, h := range hashes {
				list = addMissing(list, h)
			}
		}
		slices.Reverse(hashes)
		var other []uint64
		for _, h := range hashes {
			other = addMissing(other, h)
		}
		if !slices.Equal(list, other) || !slices.IsSorted(list) || len(list) != min(n, maxMissing) {
			t.Errorf("%d: %d kept, %d in another order", n, len(list), len(other))
		}
		got := float64(countMissing(list))
		if n < maxMissing && got != float64(n) || math.Abs(got-float64(n)) > 0.6*float64(n) {
			t.Errorf("%d of %d", int(got), n)
		}
		again, err := decodeMissing(nil, appendMissing(nil, list))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%d: %v became %v, %v", n, list, again, err)
		}
	}
	if _, err := decodeMissing(nil, make([]byte, 9)); err == nil {
		t.Error("a torn list is no error")
	}
}

// A client that fetches everything counts as much as the cap in all, whether its
// day is open or closed, and others count as ever.
func TestClientCap(t *testing.T) {
	const packages, limit = 400, 100
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	o.ClientCap = limit
	s := openStore(t, dir, o)
	var b strings.Builder
	for i := range packages {
		b.WriteString(answer("10.0.0.1", i, aPackage(i), 200))
	}
	for i := range limit {
		b.WriteString(answer("10.0.0.2", i, aPackage(i), 200))
	}
	writeFile(t, dir+"/log", b.String())
	ingest1(t, s, dir+"/log")
	check := func(when string) {
		t.Helper()
		all := ranks(t, s)
		if len(all) != packages {
			t.Fatalf("%s: %d names", when, len(all))
		}
		sum := 0.0
		for i, r := range all {
			want := float64(limit) / packages
			clients := 1
			if i < limit {
				want, clients = want+1, 2
			}
			if r.Score != want || r.Clients != clients || r.ClientDays != clients {
				t.Fatalf("%s: %+v, want score %v of %d clients", when, r, want, clients)
			}
			sum += r.Score
		}
		if sum != 2*limit {
			t.Errorf("%s: %v in all, want %v", when, sum, 2*limit)
		}
	}
	check("open")
	clock = clock.AddDate(0, 0, 20)
	ingest1(t, s, dir+"/log")
	if count(t, s, "requests") != 0 {
		t.Fatal("the day is open")
	}
	clock = now
	check("closed")
}

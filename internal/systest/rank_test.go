package systest

import (
	"bytes"
	"compress/gzip"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/testrepo"
)

// rank is one element of what `imsync rank --json` prints.
type rank struct {
	Rank             int
	Name, Arch, Root string
	Score            float64
	Clients          int
	ClientDays       int `json:"client_days"`
	Requests         int
	Bytes            int64
	LastSeen         time.Time `json:"last_seen"`
}

// rank reads the new lines of the logs and returns the ranking. Scores are told
// in parts of the first one's: all of them fall at midnight.
func (s *site) rank() []rank {
	s.t.Helper()
	var all []rank
	s.decode(s.imsync("rank", "--json", "-n", "0"), &all)
	for i := range all {
		if i > 0 {
			all[i].Score /= all[0].Score
		}
	}
	if len(all) > 0 {
		all[0].Score = 1
	}
	return all
}

// sameRanks compares two rankings.
func sameRanks(t testing.TB, want, got []rank) {
	t.Helper()
	close := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	if diff := cmp.Diff(want, got, close); diff != "" {
		t.Errorf("the ranking differs (-want +got):\n%s", diff)
	}
}

// expected is what the ranking counts of these visits, by package name.
func expected(visits []testrepo.Visit) map[string]rank {
	type clientDay struct{ name, client, day string }
	seen := map[clientDay]bool{}
	byDay := map[[2]string]int{}
	all := map[string]rank{}
	for _, v := range visits {
		if v.Package == "" {
			continue
		}
		r := all[v.Package]
		day := v.Time.Format(time.DateOnly)
		if k := (clientDay{v.Package, v.Client.String(), day}); !seen[k] {
			seen[k] = true
			r.ClientDays++
			byDay[[2]string{v.Package, day}]++
			r.Clients = max(r.Clients, byDay[[2]string{v.Package, day}])
		}
		r.LastSeen = v.Time
		all[v.Package] = r
	}
	return all
}

// A log that is read while it grows, again, after each kind of rotation, and
// compressed, counts as if it had been read once.
func TestRotatedLogsRankAlike(t *testing.T) {
	s := newSite(t)
	visits := traffic(testrepo.Campus(1))
	text := logText(t, testrepo.Combined, visits)
	current := filepath.Join(s.logs, "access.log")

	once := s.another(t)
	once.write(filepath.Join(once.logs, "access.log"), string(text))
	want := once.rank()
	counts := map[string]rank{}
	for _, r := range want {
		counts[r.Name] = rank{Clients: r.Clients, ClientDays: r.ClientDays, LastSeen: r.LastSeen}
	}
	if diff := cmp.Diff(expected(visits), counts); diff != "" {
		t.Fatalf("read once, the ranking is not what was asked for:\n%s", diff)
	}
	sameRanks(t, want, once.rank()) // the same log, read again

	parts := quarters(text)
	appendTo := func(b []byte) {
		t.Helper()
		f, err := os.OpenFile(current, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err == nil {
			_, err = f.Write(b)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	appendTo(parts[0])
	s.rank()
	s.rank()

	// Rotated by rename, between two reads and in the middle of a line.
	cut := len(parts[1]) - 20
	appendTo(parts[1][:cut])
	s.rank()
	appendTo(parts[1][cut:])
	if err := os.Rename(current, current+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(parts[2])
	s.rank()

	// Compressed.
	s.gzip(current + ".1")
	s.rank()

	// Copied and truncated; then the log goes on.
	s.write(current+".2", string(parts[2]))
	if err := os.Truncate(current, 0); err != nil {
		t.Fatal(err)
	}
	s.rank()
	appendTo(parts[3])
	sameRanks(t, want, s.rank())
	s.gzip(current + ".2")
	sameRanks(t, want, s.rank())
	// The whole of it once more, under another name.
	s.write(current+".copy", string(text))
	sameRanks(t, want, s.rank())
}

// quarters cuts a log into four, each of whole lines.
func quarters(text []byte) [4][]byte {
	var parts [4][]byte
	for i := range parts {
		end := len(text)
		if i < 3 {
			end = bytes.IndexByte(text[len(text)/(4-i):], '\n') + len(text)/(4-i) + 1
		}
		parts[i], text = text[:end], text[end:]
	}
	return parts
}

// gzip compresses a log as logrotate does: with another name, and the old one gone.
func (s *site) gzip(name string) {
	s.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		s.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".gz", b.String())
	if err := os.Remove(name); err != nil {
		s.t.Fatal(err)
	}
}

// The same traffic ranks the same, whichever program wrote it down. Squid notes when an
// answer ended, the others here when it was asked for.
func TestFormatsRankAlike(t *testing.T) {
	s := newSite(t)
	visits := traffic(testrepo.Campus(1))
	var want []rank
	for _, f := range []testrepo.LogFormat{testrepo.Combined, testrepo.Common, testrepo.Squid, testrepo.Own} {
		t.Run(f.String(), func(t *testing.T) {
			s := s.another(t)
			s.write(filepath.Join(s.logs, "access.log"), string(logText(t, f, visits)))
			got := s.rank()
			if want == nil {
				want = got
			}
			if names := len(expected(visits)); names < 100 || len(got) != names {
				t.Errorf("%d names, asked for were %d", len(got), names)
			}
			want := slices.Clone(want)
			if f == testrepo.Squid {
				ended := lastEnds(visits)
				for i := range want {
					want[i].LastSeen = ended[want[i].Name]
				}
			}
			sameRanks(t, want, got)
		})
	}
}

// lastEnds is when the last of the answers that count ended, by package name, in whole
// seconds.
func lastEnds(visits []testrepo.Visit) map[string]time.Time {
	last := map[string]time.Time{}
	for _, v := range visits {
		if at := v.Time.Add(v.Took).Truncate(time.Second); v.Package != "" && at.After(last[v.Package]) {
			last[v.Package] = at
		}
	}
	return last
}

// What imserve serves is what imsync ranks, from imserve's own log: each client
// behind a trusted proxy counts, what imsync asks for does not.
func TestServedIsRanked(t *testing.T) {
	s := newSite(t, "[sync]\npackages = []")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	server := s.serve()
	repomd := "/" + rootName + "/repodata/repomd.xml"
	want := map[string]int{"vlc": 3, "bash": 2, "octave": 1}
	for name, clients := range want {
		for i := range clients {
			from := []string{"X-Forwarded-For", "10.9.8." + string(rune('1'+i))}
			server.get(repomd, from...)
			server.get("/"+rootName+"/"+location(t, specs, name), from...)
		}
	}
	server.get("/"+rootName+"/"+location(t, specs, "make"), "User-Agent", "imsync/1.0")
	server.stop()

	got := map[string]int{}
	for _, r := range s.rank() {
		got[r.Name] = r.Clients
		if r.Root != rootName {
			t.Errorf("%s belongs to %s", r.Name, r.Root)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("clients: %v, want %v", got, want)
	}
	// The log shows the root, too: a run syncs it with nothing listed by hand.
	if r := s.once(); len(r.Roots) != 1 || r.Roots[0].Root != rootName {
		t.Errorf("roots: %+v", r.Roots)
	}
	var names []string
	for _, r := range s.rank() {
		names = append(names, r.Name)
	}
	if want := []string{"vlc", "bash", "octave"}; !slices.Equal(names, want) {
		t.Errorf("after the run: %s, want %s", strings.Join(names, " "), want)
	}
}

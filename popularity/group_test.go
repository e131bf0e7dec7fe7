package popularity

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// member is a machine of a group in a test.
type member struct {
	t     testing.TB
	dir   string
	store *Store
}

const secret = "the group's secret"

// newMember is a machine whose clock is at *clock.
func newMember(t testing.TB, clock *time.Time, secret string) *member {
	t.Helper()
	o := options()
	o.Clock = func() time.Time { return *clock }
	o.ClientCap = 12
	o.Group = []byte(secret)
	dir := t.TempDir()
	return &member{t, dir, openStore(t, dir, o)}
}

// reads has the member read hits that its log did not have before.
func (m *member) reads(hits ...hit) {
	m.t.Helper()
	appendFile(m.t, m.dir+"/log", write(hits, "imserve"))
	ingest1(m.t, m.store, m.dir+"/log")
}

// counts is what the member has for the others.
func (m *member) counts() []byte {
	m.t.Helper()
	var b bytes.Buffer
	if err := m.store.Export(m.t.Context(), &b); err != nil {
		m.t.Fatal(err)
	}
	return b.Bytes()
}

// takes has the member take in what another had.
func (m *member) takes(counts []byte) Imported {
	m.t.Helper()
	done, err := m.store.Import(m.t.Context(), bytes.NewReader(counts))
	if err != nil {
		m.t.Fatal(err)
	}
	return done
}

// groupTraffic is traffic with a client that asks for much, and with a scanner. How
// many files a scanner missed is told by hashes, which are others in each database:
// it misses so many that no salt makes it a client.
func groupTraffic(seed uint64, n int) []hit {
	hits := traffic(seed, n)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 60 {
		h := hits[r.IntN(n)]
		h.client, h.at = "10.9.9.8", now.Add(-time.Duration(r.IntN(24*3600))*time.Second)
		hits = append(hits, h)
		h.client = "10.9.9.9"
		hits = append(hits, h)
		for range 8 {
			h.rest, h.status = fmt.Sprintf("updates/41/guess%d.rpm", len(hits)), 404
			hits = append(hits, h)
		}
	}
	return hits
}

// TestGroupRanksAsOne holds that machines which take in each other's counts rank, and
// explain, as one does that has read all of their logs: whatever is taken in, in
// whatever order, however often and however old.
func TestGroupRanksAsOne(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			clock := now
			r := rand.New(rand.NewPCG(seed, 3))
			hits := groupTraffic(20+seed, 600)
			one := newMember(t, &clock, "")
			one.reads(hits...)
			want := ranks(t, one.store)

			const machines = 3
			var group [machines]*member
			var logs [machines][]hit
			for i := range group {
				group[i] = newMember(t, &clock, secret)
				group[i].store.limit = 150 // batches, of logs and of counts
			}
			for _, h := range hits {
				i := r.IntN(machines)
				logs[i] = append(logs[i], h)
				if r.IntN(5) == 0 { // and in another's log too
					logs[(i+1)%machines] = append(logs[(i+1)%machines], h)
				}
			}
			var made [][]byte
			for slices.ContainsFunc(logs[:], func(l []hit) bool { return len(l) > 0 }) {
				i := r.IntN(machines)
				switch m := group[i]; r.IntN(3) {
				case 0:
					n := min(len(logs[i]), 1+r.IntN(300))
					m.reads(logs[i][:n]...)
					logs[i] = logs[i][n:]
				case 1:
					made = append(made, m.counts())
				case 2:
					if len(made) > 0 {
						m.takes(made[r.IntN(len(made))])
					}
				}
			}
			// The newest of each, and some that are older.
			made = made[:min(len(made), 4)]
			for _, m := range group {
				made = append(made, m.counts())
			}
			last := newMember(t, &clock, secret) // that has no logs
			for _, m := range append(group[:], last) {
				for _, i := range r.Perm(len(made)) {
					m.takes(made[i])
				}
				if diff := cmp.Diff(want, ranks(t, m.store)); diff != "" {
					t.Fatal(diff)
				}
				for i := range made {
					if done := m.takes(made[i]); done.Requests != 0 || len(done.NewRoots) != 0 || len(done.Late) != 0 {
						t.Fatalf("taken in once more: %+v", done)
					}
				}
				if diff := cmp.Diff(want, ranks(t, m.store)); diff != "" {
					t.Fatal("taken in once more:", diff)
				}
				for _, name := range []string{want[0].Name, want[len(want)/2].Name} {
					a, aerr := one.store.Explain(t.Context(), halfLife, name)
					b, berr := m.store.Explain(t.Context(), halfLife, name)
					if diff := cmp.Diff(a, b); diff != "" || aerr != nil || berr != nil {
						t.Fatal(aerr, berr, diff)
					}
				}
			}

			// Closed, each on its own, they are what they were.
			clock = now.AddDate(0, 0, 60)
			for _, m := range append(group[:], last) {
				ingest1(t, m.store, m.dir+"/log*")
				if n := count(t, m.store, "requests"); n != 0 {
					t.Fatalf("%d clients are left", n)
				}
			}
			clock = now
			for i, m := range append(group[:], last) {
				if diff := cmp.Diff(want, ranks(t, m.store)); diff != "" {
					t.Fatalf("machine %d, closed: %s", i, diff)
				}
			}
		})
	}
}

// aHit is a client's request for a package on a day before or after now.
func aHit(client string, day int, name string) hit {
	return hit{client: client, at: now.AddDate(0, 0, day), repo: "fedora", rest: "updates/41/Everything/x86_64/Packages/p/" + name + "-1-1.noarch.rpm", status: 200, bytes: 10}
}

// clientDays is what the member counts, by name.
func (m *member) clientDays() map[string]int {
	m.t.Helper()
	all := map[string]int{}
	for _, r := range ranks(m.t, m.store) {
		all[r.Name] += r.ClientDays
	}
	return all
}

// TestGroupCloses holds what becomes of days that close on one machine before they
// do on another: no client counts twice, and none is left out while its machine is
// heard of.
func TestGroupCloses(t *testing.T) {
	clock := now
	newGroup := func(t *testing.T) (a, b *member) {
		clock = now
		a, b = newMember(t, &clock, secret), newMember(t, &clock, secret)
		a.reads(aHit("10.0.0.1", 0, "x"), aHit("10.0.0.2", 0, "x"))
		b.reads(aHit("10.0.0.1", 0, "x"), aHit("10.0.0.3", 0, "x"))
		return a, b
	}
	counts := func(t *testing.T, m *member, what string, want int) {
		t.Helper()
		if got := m.clientDays()["x"]; got != want {
			t.Errorf("%s: %d client-days, want %d", what, got, want)
		}
	}
	pass := func(days int, members ...*member) {
		clock = clock.AddDate(0, 0, days)
		for _, m := range members {
			ingest1(m.t, m.store, m.dir+"/log")
		}
	}

	t.Run("a member that is late is waited for", func(t *testing.T) {
		a, _ := newGroup(t)
		b := newMember(t, &clock, secret)
		a.takes(b.counts()) // it has nothing yet
		pass(25, a)
		if n := count(t, a.store, "open_days"); n != 1 {
			t.Fatalf("%d days are open while a member is silent", n)
		}
		b.reads(aHit("10.0.0.1", 0, "x"), aHit("10.0.0.3", 0, "x"))
		if done := a.takes(b.counts()); done.Requests != 1 || len(done.Late) != 0 {
			t.Errorf("%+v", done)
		}
		counts(t, a, "after", 3)
		pass(33, a)
		if n := count(t, a.store, "open_days"); n != 0 {
			t.Errorf("%d days are open", n)
		}
		counts(t, a, "closed", 3)
	})
	t.Run("one that is gone is not", func(t *testing.T) {
		a, b := newGroup(t)
		old := b.counts()
		a.takes(old)
		counts(t, a, "before", 3)
		b.reads(aHit("10.0.0.4", 0, "x"))
		pass(33, a)
		if n := count(t, a.store, "open_days"); n != 0 {
			t.Errorf("%d days are open for one that is gone", n)
		}
		late := []time.Time{now.Truncate(24 * time.Hour)}
		for _, counts := range [][]byte{old, b.counts()} {
			if done := a.takes(counts); !slices.Equal(done.Late, late) || done.Requests != 0 || done.Days != 0 {
				t.Errorf("late counts: %+v", done)
			}
		}
		counts(t, a, "late", 3)
	})
	t.Run("closed there, open here", func(t *testing.T) {
		a, b := newGroup(t)
		pass(20, b)
		if count(t, b.store, "open_days") != 0 || count(t, a.store, "open_days") != 1 {
			t.Fatal("the day is not closed there and open here")
		}
		if done := a.takes(b.counts()); done.Past != 0 || done.Days != 0 {
			t.Errorf("%+v", done)
		}
		counts(t, a, "with numbers of who knows whom", 2)
		b.takes(a.counts())
		counts(t, b, "with clients that may be among the numbers", 2)
	})
	t.Run("closed on both", func(t *testing.T) {
		a, b := newGroup(t)
		a.takes(b.counts())
		pass(40, a, b)
		a.takes(b.counts())
		b.takes(a.counts())
		counts(t, a, "that had the other's clients", 3)
		counts(t, b, "that had not", 2)
	})
	t.Run("opened again", func(t *testing.T) {
		a, b := newGroup(t)
		pass(40, a)
		a.reads(aHit("10.0.0.5", 0, "x"), aHit("10.0.0.6", 30, "x"))
		fresh := newMember(t, &clock, secret)
		if done := fresh.takes(a.counts()); done.Past != 1 || done.Days != 2 || done.Requests != 2 {
			t.Errorf("%+v", done)
		}
		counts(t, a, "late lines", 4)
		counts(t, fresh, "numbers and clients of one day", 4)
		fresh.takes(b.counts())
		counts(t, fresh, "clients of a closed day", 4)
	})
}

// TestGroupPast holds that a machine which joins, or has lost its database, has the
// whole ranking from any of the others.
func TestGroupPast(t *testing.T) {
	clock := now
	a := newMember(t, &clock, secret)
	a.reads(traffic(31, 2000)...)
	clock = now.AddDate(0, 0, 10)
	for i := range 3 {
		a.reads(aHit(fmt.Sprint("10.0.0.", i), i, "late"))
	}
	clock = now.AddDate(0, 0, 12)
	ingest1(t, a.store, a.dir+"/log")
	if count(t, a.store, "days") == 0 || count(t, a.store, "overlaps") == 0 || count(t, a.store, "open_days") == 0 {
		t.Fatal("there are no closed and open days")
	}
	want := ranks(t, a.store)
	b := newMember(t, &clock, secret)
	b.takes(a.counts())
	c := newMember(t, &clock, secret)
	c.takes(b.counts()) // from who has it from another
	for _, m := range []*member{b, c} {
		if diff := cmp.Diff(want, ranks(t, m.store)); diff != "" {
			t.Error(diff)
		}
		if done := m.takes(a.counts()); done.Past != 0 || done.Requests != 0 {
			t.Errorf("once more: %+v", done)
		}
		if diff := cmp.Diff(want, ranks(t, m.store)); diff != "" {
			t.Error("once more:", diff)
		}
	}
	if done := a.takes(a.counts()); done.Requests != 0 || done.Past != 0 {
		t.Errorf("its own counts: %+v", done)
	}
	if n := count(t, a.store, "members"); n != 0 {
		t.Errorf("it is a member of its own: %d", n)
	}
	if diff := cmp.Diff(want, ranks(t, a.store)); diff != "" {
		t.Error("with its own counts:", diff)
	}
}

// TestGroupHashes holds that a client has one hash in a group, another on another
// day and with another secret, and that no address leaves a machine.
func TestGroupHashes(t *testing.T) {
	clock := now
	hashes := map[uint64]int{}
	for _, with := range []string{secret, secret, "another", ""} {
		m := newMember(t, &clock, with)
		m.reads(aHit("client-in-the-clear", 0, "x"), aHit("client-in-the-clear", -1, "x"))
		all := clients(t, m.store)
		if len(all) != 2 {
			t.Fatal(all)
		}
		for _, h := range all {
			hashes[h]++
		}
		if with == "" {
			continue
		}
		if err := eachLine(bytes.NewReader(m.counts()), func(text []byte) error {
			if strings.Contains(string(text), "in-the-clear") {
				t.Errorf("an address leaves the machine: %s", text)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var times []int
	for _, n := range hashes {
		times = append(times, n)
	}
	// Two days with the secret, each on two machines; two with another; with none the
	// two days of a client are the same hash.
	if slices.Sort(times); !slices.Equal(times, []int{1, 1, 2, 2, 2}) {
		t.Errorf("hashes are there %v times", times)
	}
}

// TestGroupSecretChanges holds that what was counted stays when a machine joins a
// group, leaves it or has another secret, and that clients which were hashed
// otherwise are not given to the group.
func TestGroupSecretChanges(t *testing.T) {
	clock := now
	m := newMember(t, &clock, "")
	hits := traffic(41, 500)
	m.reads(hits...)
	want := ranks(t, m.store)
	for _, secret := range []string{secret, "another", ""} {
		o := m.store.opt
		o.Group = []byte(secret)
		m.store = openStore(t, m.dir, o)
		var other *member
		if secret != "" {
			other = newMember(t, &clock, secret)
			other.takes(m.counts()) // before the days are closed
			if n := count(t, other.store, "requests"); n != 0 {
				t.Errorf("secret %q: %d clients that nobody knows again", secret, n)
			}
		}
		ingest1(t, m.store, m.dir+"/log")
		if n := count(t, m.store, "open_days"); n != 0 {
			t.Errorf("secret %q: %d days are open", secret, n)
		}
		if diff := cmp.Diff(want, ranks(t, m.store)); diff != "" {
			t.Errorf("secret %q: %s", secret, diff)
		}
		if other != nil {
			other.takes(m.counts())
			if diff := cmp.Diff(want, ranks(t, other.store)); diff != "" {
				t.Errorf("secret %q, the past: %s", secret, diff)
			}
		}
	}
	m.reads(aHit("10.0.0.1", 2, "after"))
	if got := m.clientDays()["after"]; got != 1 {
		t.Errorf("after it: %d", got)
	}
}

// BenchmarkExchange gives on what was counted of 1,000,000 lines of a month, all of whose
// days are open, to a database that has nothing, and to one that has it.
func BenchmarkExchange(b *testing.B) {
	const lines = 1_000_000
	clock := now
	a := newMember(b, &clock, secret)
	writeMonth(b, a.dir+"/log", lines)
	ingest1(b, a.store, a.dir+"/log")
	counts := a.counts()
	b.Run("export", func(b *testing.B) {
		for b.Loop() {
			counts = a.counts()
		}
		b.ReportMetric(float64(len(counts)), "bytes")
	})
	b.Run("import", func(b *testing.B) {
		for b.Loop() {
			newMember(b, &clock, secret).takes(counts)
		}
	})
	b.Run("import again", func(b *testing.B) {
		other := newMember(b, &clock, secret)
		other.takes(counts)
		for b.Loop() {
			if done := other.takes(counts); done.Requests != 0 {
				b.Fatalf("%+v", done)
			}
		}
	})
}

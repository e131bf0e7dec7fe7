package cache

import (
	"fmt"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	p := Policy{MaxAge: time.Hour}
	a, b := testDigest("sha256", 'a'), testDigest("sha256", 'b')
	a512, b512 := testDigest("sha512", 'a'), testDigest("sha512", 'b')
	promise := func(d Digest) Want { return Want{Digest: d, Size: 10} }
	for _, tt := range []struct {
		name string
		f    *Facts
		w    Want
		want Action
	}{
		{"nothing stored", nil, Want{}, Fetch},
		{"nothing stored, promised", nil, promise(a), Fetch},

		{"promised, kept", &Facts{Size: 10, SHA256: a}, promise(a), Serve},
		{"promised, kept, never validated and old", &Facts{Size: 10, SHA256: a, Validated: now.AddDate(-9, 0, 0)}, promise(a), Serve},
		{"promised by sha512, kept", &Facts{Size: 10, SHA256: b, Met: a512}, promise(a512), Serve},
		{"promised, another digest", &Facts{Size: 10, SHA256: b, Validated: now}, promise(a), Fetch},
		{"promised, another length", &Facts{Size: 11, SHA256: a, Validated: now}, promise(a), Fetch},
		{"promised, another length, digest unknown", &Facts{Size: 11, Validated: now}, promise(a), Fetch},
		{"promised, digest unknown", &Facts{Size: 10}, promise(a), Verify},
		{"promised, digest unknown, validated now", &Facts{Size: 10, Validated: now}, promise(a), Verify},
		{"promised by sha512, only sha256 known", &Facts{Size: 10, SHA256: a, Validated: now}, promise(a512), Verify},
		{"promised by sha512, another one met", &Facts{Size: 10, SHA256: a, Met: b512}, promise(a512), Verify},

		{"validated now", &Facts{Validated: now}, Want{}, Serve},
		{"validated just within max age", &Facts{Validated: now.Add(-time.Hour + 1)}, Want{}, Serve},
		{"validated max age ago", &Facts{Validated: now.Add(-time.Hour)}, Want{}, Validate},
		{"never validated", &Facts{SHA256: a}, Want{}, Validate},
		{"adopted: only size and time", &Facts{Size: 10, ModTime: now}, Want{}, Validate},
		{"the clock was set back", &Facts{Validated: now.Add(time.Second)}, Want{}, Validate},
		{"digest known, nothing promised, old", &Facts{Size: 10, SHA256: a, Met: a, Validated: now.Add(-2 * time.Hour)}, Want{}, Validate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(now, tt.f, tt.w, p); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
	// On the night on which the clocks are put back an hour comes twice.
	if berlin, err := time.LoadLocation("Europe/Berlin"); err == nil {
		summer := time.Date(2026, 10, 25, 0, 59, 0, 0, time.UTC).In(berlin) // 02:59
		winter := summer.Add(2 * time.Minute)                               // 02:01
		if winter.Hour()*60+winter.Minute() >= summer.Hour()*60+summer.Minute() {
			t.Fatalf("%v is not before %v on the clock", winter, summer)
		}
		if got := Decide(winter, &Facts{Validated: summer}, Want{}, p); got != Serve {
			t.Errorf("two minutes later, an hour earlier on the clock: %d", got)
		}
	}
	if got := Decide(now, &Facts{Validated: now}, Want{}, Policy{}); got != Validate {
		t.Errorf("with no max age: %d, want a validation", got)
	}
}

// testDigest is a digest of that type, all of whose digits are c.
func testDigest(typ string, c byte) Digest {
	n := map[string]int{"sha1": 40, "sha256": 64, "sha512": 128}[typ]
	sum := make([]byte, n)
	for i := range sum {
		sum[i] = c
	}
	return Digest(typ + ":" + string(sum))
}

// TestSettle holds every field of the design's table.
func TestSettle(t *testing.T) {
	type in struct {
		a                           Answer
		stored, held, anchor, known bool
	}
	want := map[in]Verdict{}
	for _, held := range []bool{false, true} {
		for _, anchor := range []bool{false, true} {
			for _, known := range []bool{false, true} {
				want[in{Same, true, held, anchor, known}] = ServeStored
				want[in{Same, false, held, anchor, known}] = NoRoute
				want[in{Changed, true, held, anchor, known}] = Stream
				want[in{Changed, false, held, anchor, known}] = Stream
				want[in{Gone, false, held, anchor, known}] = NotFound
				want[in{Unreachable, true, held, anchor, known}] = ServeStored
				want[in{Unreachable, false, held, anchor, known}] = NoRoute
			}
		}
	}
	for _, known := range []bool{false, true} {
		want[in{Gone, true, true, false, known}] = ServeStored
		want[in{Gone, true, true, true, known}] = ServeStored
		want[in{Gone, true, false, true, known}] = NotFound // and it stays
	}
	want[in{Gone, true, false, false, false}] = Delete
	want[in{Gone, true, false, false, true}] = Withdraw
	if len(want) != 4*2*2*2*2 {
		t.Fatalf("the table has %d fields", len(want))
	}
	for i, v := range want {
		if got := Settle(i.a, i.stored, i.held, i.anchor, i.known); got != v {
			t.Errorf("%+v: %d, want %d", i, got, v)
		}
	}
}

func TestStatusString(t *testing.T) {
	for want, s := range map[string]Status{
		"imserve":                                  {},
		"imserve; hit":                             {Hit: true},
		"imserve; fwd=uri-miss; stored":            {Fwd: "uri-miss", Stored: true},
		"imserve; fwd=stale; fwd-status=304":       {Fwd: "stale", FwdStatus: 304},
		"imserve; hit; detail=gone-upstream":       {Hit: true, Detail: "gone-upstream"},
		"imserve; fwd=uri-miss; stored; collapsed": {Fwd: "uri-miss", Stored: true, Collapsed: true},
		"imserve; fwd=bypass; detail=x":            {Fwd: "bypass", Detail: "x"},
	} {
		if got := fmt.Sprint(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

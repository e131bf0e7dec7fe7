package generation_test

import (
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestSignatureFirst: zypper asks for the signature before it asks for what is
// signed. That it has come before the first metadata makes it no older one's.
func TestSignatureFirst(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"))
	d.sign("one")
	if got, err := d.file("repomd.xml.asc", client); err != nil || got != "one" {
		t.Fatalf("%q, %v", got, err)
	}
	d.gets(d.upstream(), "fwd=uri-miss; fwd-status=200; stored")
	if p := d.fresh.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	if w, held := d.store.Lookup(mustKey(t, d.root, spec("a", "1"))); !held || !w.Known() {
		t.Errorf("the metadata is not whole: nothing is promised of its package: %+v, %v", w, held)
	}
}

// TestSignatureOfWhatIsNotWhole: clients are given a repomd.xml that is not whole
// where a metalink lists no other, and the signature is that one's.
func TestSignatureOfWhatIsNotWhole(t *testing.T) {
	d := newDesk(t, time.Minute)
	check := func(want string) { t.Helper(); d.gives(client, "repomd.xml.asc", want) }
	d.publish(spec("a", "1"))
	d.sign("one")
	d.ask()
	d.settle()
	check("one")
	old := sha256Of(d.upstream())
	d.publish(spec("a", "2"))
	d.sign("two")
	d.up.On("*-filelists.xml.gz", testrepo.Status(404))
	d.withdrawn.Store(old)
	d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
	check("two")
	if p := d.fresh.Problems(); len(p) != 1 {
		t.Errorf("problems: %v", p)
	}
}

// TestSignatureIsNotAhead: a request for the signature alone does not bring the
// next one's before the next repomd.xml, and so does not keep that back either.
func TestSignatureIsNotAhead(t *testing.T) {
	d := newDesk(t, time.Minute)
	check := func(client, want string) { t.Helper(); d.gives(client, "repomd.xml.asc", want) }
	d.publish(spec("a", "1"))
	d.sign("one")
	d.begins("early")
	check("early", "one")

	d.publish(spec("a", "2"))
	d.sign("two")
	check("early", "one")
	d.begins("late")
	check("late", "two")
	check("early", "one")

	// While the next is not whole, its signature is nobody's.
	d.publish(spec("a", "3"))
	d.sign("three")
	d.up.On("*-filelists.xml.gz", testrepo.Status(404))
	check("late", "two")
	check("nobody yet", "two")
	d.up.Heal()
	d.pass(2 * time.Minute)
	check("nobody yet", "three")
	d.begins("nobody yet")
	if p := d.fresh.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}

	// A mirror that puts the signature in its place before what it signs: who asks in
	// between finds out, as at the mirror itself, and it is not taken for an old one.
	d.pass(time.Hour)
	d.sign("four")
	check("nobody yet", "four")
	d.publish(spec("a", "4"))
	d.sign("four")
	d.begins("nobody yet")
	check("nobody yet", "four")
	if p := d.fresh.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}

	d.pass(2 * time.Minute)
	d.up.Stop()
	check("nobody yet", "four")
}

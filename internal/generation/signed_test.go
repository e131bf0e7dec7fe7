package generation_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
)

// errForged is what the test's check says of a signature that is not good.
var errForged = errors.New("forged")

// signedWell takes "signed: " and what is signed for a good signature, and nothing else.
func signedWell(signed, signature []byte) error {
	if string(signature) != "signed: "+string(signed) {
		return errForged
	}
	return nil
}

// TestSigned: a repomd.xml without the signature that it has to have changes
// nothing, and is never given to a client, not even for want of another.
func TestSigned(t *testing.T) {
	for _, required := range []bool{false, true} {
		d := newDesk(t, time.Minute)
		d.signing = &generation.Signing{Required: required, Check: signedWell}
		d.publish(spec("a", "1"))
		d.sign("no signature of this")
		if _, _, err := d.ask(); !errors.Is(err, cache.ErrWrongContent) {
			t.Fatalf("a forged one, and no other: %v", err)
		}
		d.pass(2 * time.Minute)
		d.sign("signed: " + d.upstream())
		first := d.upstream()
		d.gets(first, "fwd=uri-miss; fwd-status=200; stored")
		if got, err := d.file("repomd.xml.asc", client); err != nil || got != "signed: "+first {
			t.Errorf("its signature: %d bytes, %v", len(got), err)
		}
		d.settle()
		d.up.Forget()
		d.gets(first, "fwd=stale; fwd-status=304")
		if n := d.up.Count("", "*"); n != 1 {
			t.Errorf("nothing changed: upstream was asked %q", d.up.Lines("", "*"))
		}

		// The next, with the signature of the one before, then its own.
		d.publish(spec("a", "2"))
		d.sign("signed: " + first)
		d.gets(first, "hit; detail=upstream-failed")
		if p := d.fresh.Problems(); len(p) != 1 || p[0].Root != d.root || !errors.Is(p[0].Err, errForged) {
			t.Errorf("problems: %v", p)
		}
		if _, err := d.store.Stage(t.Context(), d.cache, d.root, d.mirrors.Grab()); !errors.Is(err, cache.ErrWrongContent) || !errors.Is(err, errForged) {
			t.Errorf("staged: %v", err)
		}
		d.sign("signed: " + d.upstream())
		d.pass(2 * time.Minute)
		d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")

		// None at all.
		second := d.upstream()
		d.publish(spec("a", "3"))
		if err := os.Remove(filepath.Join(d.files, "repodata", "repomd.xml.asc")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if required {
			d.gets(second, "hit; detail=upstream-failed")
			continue
		}
		d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
		if got, err := d.file("repomd.xml.asc", client); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the signature of the one before is left: %q, %v", got, err)
		}
	}
}

package generation_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// rivals is a desk whose first mirror is hostile, and whose second is honest.
type rivals struct {
	*desk
	liar *testrepo.Server
	lies string // what the first has of the root
}

// newRivals makes one of which either nothing is stored, or the metadata before what
// the honest mirror has. The hostile one has a copy of that.
func newRivals(t *testing.T, stored bool) *rivals {
	t.Helper()
	top := t.TempDir()
	r := &rivals{newDesk(t, time.Minute), testrepo.Start(t, top), filepath.Join(top, "updates", "41")}
	t.Cleanup(r.liar.Heal)
	client := patient(t, upstream.Options{Now: r.now, Log: slog.New(slog.NewTextHandler(&r.said, nil))})
	if stored {
		r.publish(spec("a", "1"))
		r.sign("signed: " + r.upstream())
		if body, _, err := r.ask(); err != nil || body != r.upstream() {
			t.Fatalf("before: %v", err)
		}
		r.settle()
	}
	r.mirrors = client.Repo(upstream.Repo{Name: "r", Upstreams: []string{r.liar.URL, r.up.URL}, Vet: r.store})
	r.publish(spec("a", "2"), spec("b", "1"))
	r.sign("signed: " + r.upstream())
	r.copy()
	return r
}

// copy gives the hostile mirror what the honest one has.
func (r *rivals) copy() {
	r.Helper()
	if err := errors.Join(os.RemoveAll(r.lies), os.CopyFS(r.lies, os.DirFS(r.files))); err != nil {
		r.Fatal(err)
	}
}

// forge gives the hostile mirror a primary with its own repomd.xml.
func (r *rivals) forge(packed []byte, openSize int64) {
	r.Helper()
	if err := testrepo.Forge(r.lies, "primary", packed, openSize); err != nil {
		r.Fatal(err)
	}
}

// rewrite changes the hostile mirror's repomd.xml.
func (r *rivals) rewrite(change func(string) string) {
	r.Helper()
	name := filepath.Join(r.lies, "repodata", "repomd.xml")
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, []byte(change(string(b))), 0o644)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// put gives the hostile mirror a file.
func (r *rivals) put(name, text string) {
	r.Helper()
	if err := r.liar.Put("/updates/41/repodata/"+name, []byte(text)); err != nil {
		r.Fatal(err)
	}
}

// logs checks that the reason for what was refused is in the log.
func (r *rivals) logs(reason string) {
	r.Helper()
	if !strings.Contains(r.said.String(), reason) {
		r.Errorf("the log does not say %q:\n%s", reason, r.said.String())
	}
}

const (
	primaryHead = `<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">`
	laughs      = `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha ha ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>`
)

// TestHostileMirror: whatever the first mirror does to a repository's metadata, it is
// refused for what it is, and the client of the very request that met it gets the
// second's, whole; so does the agent.
func TestHostileMirror(t *testing.T) {
	signing := &generation.Signing{Check: signedWell}
	primary := func(f testrepo.Fault) func(*rivals) {
		return func(r *rivals) { r.liar.On("*-primary.xml.gz", f) }
	}
	href := func(to string) func(*rivals) {
		return func(r *rivals) {
			r.rewrite(func(doc string) string { return strings.Replace(doc, `href="repodata/`, `href="`+to, 1) })
		}
	}
	for _, tt := range []struct {
		name   string
		signed bool // with keys
		stored bool // only with metadata that is stored
		lie    func(*rivals)
		reason string // in the log
	}{
		{"a flipped bit in primary", false, false, primary(testrepo.Corrupt(100)), "not what upstream should send"},
		{"primary is too short, and looks whole", false, false, primary(testrepo.Truncate(200)), "bytes announced"},
		{"primary without length is too short", false, false, primary(testrepo.Chunked().With(testrepo.Truncate(200))), "not what upstream should send"},
		{"primary breaks off", false, false, primary(testrepo.Cut(200)), "EOF"},
		{"primary is a page", false, false, primary(testrepo.Portal()), "not what upstream should send"},
		{"primary is another repository's", false, false, func(r *rivals) {
			r.liar.On("*-primary.xml.gz", testrepo.Redirect(r.liar.URL+"/other"))
			other, err := testrepo.Bomb(testrepo.Gzip, primaryHead+"</metadata>", " ", 4000)
			if err == nil {
				err = r.liar.Put("/other", other)
			}
			if err != nil {
				r.Fatal(err)
			}
		}, "not what upstream should send"},
		{"primary has no end", false, false, primary(testrepo.Endless()), "not what upstream should send"},
		{"a primary that nobody has", false, false, func(r *rivals) {
			r.forge([]byte("none"), 4)
			r.liar.On("*-primary.xml.gz", testrepo.Status(404))
		}, "file does not exist"},

		{"repomd.xml is a page", false, false, func(r *rivals) { r.liar.On("*/repomd.xml", testrepo.Portal()) }, "not what upstream should send"},
		{"repomd.xml has no end", false, false, func(r *rivals) { r.liar.On("*/repomd.xml", testrepo.Endless()) }, "more than 4 MiB"},
		{"repomd.xml breaks off", false, false, func(r *rivals) { r.liar.On("*/repomd.xml", testrepo.Cut(300)) }, "EOF"},
		{"repomd.xml is too short, and looks whole", false, false, func(r *rivals) { r.liar.On("*/repomd.xml", testrepo.Truncate(300)) }, "parse repomd.xml"},
		{"a billion laughs", false, false, func(r *rivals) { r.put("repomd.xml", laughs+"<repomd>&c;</repomd>") }, "document type declaration"},
		{"a location that climbs", false, false, href("../../../etc/"), "`..`"},
		{"a location that climbs, escaped", false, false, href("%2e%2e/"), "`..`"},
		{"a location on another host", false, false, href("http://198.51.100.1/repodata/"), "a URL with a scheme"},
		{"an absolute location", false, false, href("/etc/"), "absolute"},
		{"no primary", false, false, func(r *rivals) {
			r.rewrite(func(doc string) string { return strings.Replace(doc, `type="primary"`, `type="primaries"`, 1) })
		}, "lists no primary"},

		{"a bomb", false, false, func(r *rivals) {
			b, err := testrepo.Bomb(testrepo.Gzip, primaryHead, "<package/>", 64<<20)
			if err != nil {
				r.Fatal(err)
			}
			r.forge(b, 4<<20)
		}, "unpacks to more than is allowed"},
		{"a bomb in one text", false, false, func(r *rivals) {
			b, err := testrepo.Bomb(testrepo.Gzip, primaryHead, " ", 64<<20)
			if err != nil {
				r.Fatal(err)
			}
			r.forge(b, 64<<20)
		}, "text of more than"},
		{"a billion laughs in primary", false, false, func(r *rivals) { r.forge([]byte(laughs+"<metadata>&c;</metadata>"), 0) }, "document type declaration"},
		{"primary is damaged gzip", false, false, func(r *rivals) { r.forge([]byte("\x1f\x8b\x08 and not"), 0) }, "unpack"},

		{"an older generation", false, true, func(r *rivals) {
			old := testrepo.BuildOptions{Time: r.now().Add(-100 * 24 * time.Hour)}
			if err := errors.Join(os.RemoveAll(r.lies), testrepo.Build(r.lies, []testrepo.Spec{spec("a", "0")}, old)); err != nil {
				r.Fatal(err)
			}
		}, "the mirror lags"},

		{"a forged signature", true, false, func(r *rivals) {
			r.rewrite(func(doc string) string { return strings.Replace(doc, "<revision>", "<revision>7", 1) })
			r.put("repomd.xml.asc", "signed by somebody else")
		}, "forged"},
		{"no signature", true, false, func(r *rivals) {
			r.rewrite(func(doc string) string { return strings.Replace(doc, "<revision>", "<revision>7", 1) })
			r.liar.On("*.asc", testrepo.Status(404))
		}, "forged"},
		{"a signature of the version before", true, true, func(r *rivals) {
			r.put("repomd.xml.asc", "signed: what it was")
		}, "forged"},
		{"a signature without end", true, false, func(r *rivals) { r.liar.On("*.asc", testrepo.Endless()) }, "more than the"},
		{"a signature of a terabyte", true, false, func(r *rivals) { r.liar.On("*.asc", testrepo.Overstate(1<<40)) }, "are the most that it may have"},
		{"signed as it should be, and the primary forged", true, false, func(r *rivals) {
			r.forge([]byte("none"), 4)
			r.put("repomd.xml.asc", "signed by somebody else")
		}, "forged"},
	} {
		for _, stored := range []bool{false, true} {
			if tt.stored && !stored {
				continue
			}
			t.Run(fmt.Sprintf("%s, stored %v", tt.name, stored), func(t *testing.T) {
				r := newRivals(t, stored)
				if tt.signed {
					r.signing = signing
				}
				tt.lie(r)
				status := "fwd=uri-miss; fwd-status=200; stored"
				if stored {
					status = "fwd=stale; fwd-status=200; stored"
				}
				r.gets(r.upstream(), status)
				if p := r.fresh.Problems(); len(p) != 0 {
					t.Errorf("problems: %v", p)
				}
				if err := r.whole(r.upstream()); err != nil {
					t.Error(err)
				}
				if w, _ := r.store.Lookup(mustKey(t, r.root, spec("a", "2"))); !w.Known() {
					t.Error("nothing is promised of the packages")
				}
				if got, err := r.file("repomd.xml.asc", client); tt.signed && (err != nil || got != "signed: "+r.upstream()) {
					t.Errorf("the signature: %q, %v", got, err)
				}
				r.logs(tt.reason)
				// And it stays so, whatever the first mirror says the next time.
				r.pass(2 * time.Minute)
				if body, _, err := r.ask(); err != nil || body != r.upstream() {
					t.Errorf("the next time: %d bytes, %v", len(body), err)
				}
			})
			t.Run(fmt.Sprintf("%s, ahead, stored %v", tt.name, stored), func(t *testing.T) {
				r := newRivals(t, stored)
				if tt.signed {
					r.signing = signing
				}
				tt.lie(r)
				g, err := r.store.Stage(t.Context(), r.cache, r.root, r.mirrors.Grab())
				if err == nil {
					err = r.store.Flip(g.Generation)
				}
				if err != nil {
					t.Fatal(err)
				}
				r.logs(tt.reason)
				if got, err := os.ReadFile(filepath.Join(r.dir, r.entry().String())); err != nil || string(got) != r.upstream() {
					t.Errorf("what is current is not the honest mirror's: %d bytes, %v", len(got), err)
				}
			})
		}
	}
}

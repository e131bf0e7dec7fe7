package generation_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// breakOff lets the flip to the generation with the entry file b end before that gets its
// name, as a kill at that moment does: what it needs for that is another's.
func (d *desk) breakOff(b []byte, name string) (mend func()) {
	d.Helper()
	inTheWay := filepath.Join(d.dir, fmt.Sprintf(".im/gen/.%x-%s", sha256.Sum256(b), name))
	if err := os.MkdirAll(inTheWay+"/in/it", 0o755); err != nil {
		d.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(inTheWay); err != nil {
			d.Fatal(err)
		}
	}
}

// A program that is killed in the middle of a flip leaves the entry file before, and files
// of the new generation under the names that both have. However short a time generations
// are kept, clients then get the ones that go with the entry file, upstream out of reach,
// and prune takes none of them.
func TestFlipBrokenOff(t *testing.T) {
	for _, keep := range []time.Duration{0, 7 * 24 * time.Hour} {
		for _, s := range []testrepo.Suite{{Name: "stable", Inline: inRelease}, {Name: "stable", ByHash: true, Inline: inRelease}, {Name: "stable"}} {
			t.Run(fmt.Sprintf("kept for %v, by hash %v, inline %v", keep, s.ByHash, s.Inline != nil), func(t *testing.T) {
				a := newArchive(t, s)
				a.start(keep, time.Minute)
				a.issue(debs("1"))
				plain := a.root + "/main/binary-amd64/Packages.xz"
				for range 2 {
					if err := a.update(client); err != nil {
						t.Fatal(err)
					}
					a.wants(plain, "hit")
					a.pass(time.Hour)
				}
				first := a.has
				a.issue(debs("2"))
				entry := "InRelease"
				if s.Inline == nil {
					entry = "Release"
				}
				mend := a.breakOff(a.has[a.root+"/"+entry], entry)
				a.get(a.root+"/"+entry, client) // whatever it is given
				if b, err := os.ReadFile(filepath.Join(a.dir, "r", a.root, entry)); err != nil || string(b) != string(first[a.root+"/"+entry]) {
					t.Fatalf("the flip came to its end: %v", err)
				}
				if b, err := os.ReadFile(filepath.Join(a.dir, "r", plain)); err != nil || string(b) != string(a.has[plain]) {
					t.Fatalf("the flip has not begun: %v", err)
				}
				a.fresh.Close()
				mend()

				a.up.Stop()
				a.start(keep, time.Minute)
				older(t, a.dir, a.now().Add(-48*time.Hour))
				if gone, err := a.store.Expire(false); err != nil || len(gone) != 0 {
					t.Errorf("expired: %v, %v", gone, err)
				}
				if err := a.update("late"); err != nil {
					t.Errorf("out of reach: %v", err)
				}
				if body, _, err := a.get(plain, "late"); err != nil || body != string(first[plain]) {
					t.Errorf("an index by its plain name: %d bytes, of the new generation %v, %v", len(body), body == string(a.has[plain]), err)
				}

				if err := a.up.Restart(); err != nil {
					t.Fatal(err)
				}
				a.pass(time.Hour)
				if err := a.update("later"); err != nil {
					t.Errorf("upstream is back: %v", err)
				}
				a.wants(plain, "hit")
			})
		}
	}
}

// The same for a repository of RPM packages whose metadata files have no digests in their
// names.
func TestFlipBrokenOffSimpleNames(t *testing.T) {
	for _, keep := range []time.Duration{0, 7 * 24 * time.Hour} {
		t.Run(fmt.Sprintf("kept for %v", keep), func(t *testing.T) {
			d := newDesk(t, time.Minute)
			d.start(keep, time.Minute)
			d.simple = true
			d.publish(spec("vlc", "1"))
			was := d.upstream()
			d.gets(was, "fwd=uri-miss; fwd-status=200; stored")
			d.settle()
			first, err := d.file("primary.xml.gz", client)
			if err != nil {
				t.Fatal(err)
			}
			d.publish(spec("vlc", "2"))
			mend := d.breakOff([]byte(d.upstream()), "repomd.xml")
			d.gets(was, "hit; detail=metadata-incomplete")
			d.settle()
			if b, err := os.ReadFile(filepath.Join(d.dir, "r/updates/41/repodata/primary.xml.gz")); err != nil || string(b) == first {
				t.Fatalf("the flip has not begun: %v", err)
			}
			d.fresh.Close()
			mend()

			d.up.Stop()
			d.start(keep, time.Minute)
			older(t, d.dir, d.now().Add(-48*time.Hour))
			if gone, err := d.store.Expire(false); err != nil || len(gone) != 0 {
				t.Errorf("expired: %v, %v", gone, err)
			}
			if b, err := d.file("primary.xml.gz", "no client of before"); err != nil || b != first {
				t.Errorf("primary: %d bytes, %v", len(b), err)
			}
			d.gets(was, "hit; detail=upstream-unreachable")
			if b, err := d.file("primary.xml.gz", client); err != nil || b != first {
				t.Errorf("primary, for a client that has begun: %d bytes, %v", len(b), err)
			}
		})
	}
}

// A program that is killed when it has all of a new repomd.xml, and nothing else of the new
// metadata, leaves it to whoever asks upstream next: out of reach, clients get what was
// current, or the error that says so, and never metadata that is not there.
func TestEntryFileAlone(t *testing.T) {
	killed := errors.New("killed")
	for _, stored := range []bool{true, false} {
		for _, placed := range []bool{true, false} {
			t.Run(fmt.Sprintf("stored %v, in its directory %v", stored, placed), func(t *testing.T) {
				d := newDesk(t, time.Minute)
				d.publish(spec("vlc", "1"))
				if stored {
					d.gets(d.upstream(), "fwd=uri-miss; fwd-status=200; stored")
					d.settle()
				}
				was := d.upstream()
				d.publish(spec("vlc", "2"))
				body := []byte(d.upstream())
				w := cache.Want{Digest: sha256Of(string(body)), Size: int64(len(body))}
				_, err := d.cache.Stage(t.Context(), d.entry(), w, d.mirrors.Grab(), func(cache.Facts) (string, error) {
					if placed {
						return ".im/gen/" + w.Digest.Hex() + "/repomd.xml", nil
					}
					return "", killed
				})
				if !placed && !errors.Is(err, killed) || placed && err != nil {
					t.Fatal(err)
				}
				parts, err := filepath.Glob(filepath.Join(d.dir, ".im/partial/*"))
				if err != nil || placed == (len(parts) == 1) {
					t.Fatalf("partial files: %q, %v", parts, err)
				}
				d.fresh.Close()

				d.up.Stop()
				d.start(7*24*time.Hour, time.Minute)
				for range 2 {
					d.pass(time.Hour)
					if stored {
						d.gets(was, "hit; detail=upstream-unreachable")
					} else if _, status, err := d.ask(); !unreachable(err) {
						t.Errorf("it is given: %q, %v", status, err)
					}
				}
				if err := d.up.Restart(); err != nil {
					t.Fatal(err)
				}
				d.pass(time.Hour)
				got, _, err := d.ask()
				d.settle()
				if err := errors.Join(err, d.whole(got)); err != nil || got != string(body) {
					t.Errorf("upstream is back: %d bytes, %v", len(got), err)
				}
			})
		}
	}
}

package sync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestShare holds what part of a cache a night reads back.
func TestShare(t *testing.T) {
	for _, tt := range []struct {
		name         string
		since, every time.Duration
		want         int64
	}{
		{"the first night", 0, 30 * day, 100},
		{"the tenth", 9 * day, 30 * day, 1000},
		{"nights were missed", 19 * day, 30 * day, 2000},
		{"the last", 29 * day, 30 * day, math.MaxInt64},
		{"its time is over", 40 * day, 30 * day, math.MaxInt64},
		{"every night all", 0, day, math.MaxInt64},
		{"a clock was set back", -day, 30 * day, 0},
	} {
		if got := share(3000, tt.since, tt.every); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

// spoil changes a byte of a stored file where it lies, as a disk does.
func (b *bench) spoil(name string) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	fi, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0xff}, fi.Size()/2)
	if err := errors.Join(err, f.Close(), os.Chtimes(path, fi.ModTime(), fi.ModTime())); err != nil {
		b.Fatal(err)
	}
}

// TestNightsReadBack: the nights read all that is stored within the time, go on where
// the one before ended, fetch again what is wrong, and begin anew only when the time is
// over. What a person verifies is not theirs.
func TestNightsReadBack(t *testing.T) {
	specs := []testrepo.Spec{pkgSpec("a", "1"), pkgSpec("b", "1"), pkgSpec("c", "1"), pkgSpec("d", "1")}
	b := newBench(t, "packages = [\"*\"]\nverify = \"4d\"", nil, specs...)
	night := func() *Report {
		t.Helper()
		r := b.once()
		b.set(b.now().Add(24 * time.Hour))
		return r
	}
	first := night()
	if first.Verified == nil || first.Verified.Files == 0 || first.Fetched != 4 {
		t.Fatalf("the first night: %+v, %+v", first, first.Verified)
	}
	whole, err := b.agent.Verify(t.Context(), VerifyOptions{})
	if err != nil || whole.Resumed || whole.Files <= first.Verified.Files {
		t.Fatalf("by hand: %+v, %v", whole, err)
	}
	b.spoil(benchRoot + "/" + specs[3].Location())
	files, wrong := first.Verified.Files, 0
	for range 3 {
		r := night()
		if r.Failures != 0 {
			t.Fatalf("%+v", r)
		}
		if r.Verified == nil {
			continue // all is read before its time: files are not cut in pieces
		}
		files += r.Verified.Files
		for _, w := range r.Verified.Wrong {
			wrong++
			if !w.Repaired || w.Path != benchRoot+"/"+specs[3].Location() {
				t.Errorf("%+v", w)
			}
		}
	}
	if files != whole.Files || wrong != 1 {
		t.Errorf("four nights have read %d files of %d, and found %d wrong", files, whole.Files, wrong)
	}
	b.stored(specs[3], true)
	if r := night(); r.Verified == nil || r.Verified.Files == 0 || r.Verified.Files >= whole.Files {
		t.Errorf("the next time round: %+v", r.Verified)
	}

	// What can't be fetched again is a failure of the run.
	b.spoil(benchRoot + "/" + specs[3].Location())
	b.up.On("*.rpm", testrepo.Status(503))
	failures := 0
	for range 4 {
		r := night()
		failures += r.Failures
		if r.Verified == nil {
			continue
		}
		for _, w := range r.Verified.Wrong {
			if w.Repaired || !strings.Contains(w.Error, "503") || strings.Contains(w.Error, "\n") {
				t.Errorf("%+v", w)
			}
		}
	}
	if failures == 0 {
		t.Error("what could not be repaired is no failure")
	}
}

// TestShareOfANight: of several runs in a night the first reads its share, and the others
// nothing.
func TestShareOfANight(t *testing.T) {
	b := newBench(t, "packages = [\"*\"]\nverify = \"4d\"", nil, pkgSpec("a", "1"), pkgSpec("b", "1"), pkgSpec("c", "1"), pkgSpec("d", "1"))
	first, second := b.once(), b.once()
	if first.Verified == nil || second.Verified != nil {
		t.Errorf("%+v, then %+v", first.Verified, second.Verified)
	}
}

// TestReadBackOnce: what was read in time is not read again, and where nothing shall be
// read nothing is.
func TestReadBackOnce(t *testing.T) {
	b := newBench(t, "packages = [\"*\"]\nverify = \"1d\"", nil, pkgSpec("a", "1"))
	first := b.once()
	b.set(b.now().Add(12 * time.Hour))
	if r := b.once(); first.Verified == nil || r.Verified != nil {
		t.Errorf("within the time: %+v, then %+v", first.Verified, r.Verified)
	}
	unlock, err := b.agent.lockVerify()
	if err != nil {
		t.Fatal(err)
	}
	b.set(b.now().Add(12 * time.Hour))
	if r := b.once(); r.Verified != nil {
		t.Errorf("beside a person's: %+v", r.Verified)
	}
	unlock()
	if r := b.once(); r.Verified == nil {
		t.Error("when its time is over nothing is read")
	}
	never := newBench(t, "packages = [\"*\"]\nverify = \"\"", nil, pkgSpec("a", "1"))
	if r := never.once(); r.Verified != nil {
		t.Errorf("never: %+v", r.Verified)
	}
}

// TestRepairMetadata: metadata that a disk has spoilt is as it was afterwards, for
// clients of the tree and in its generation, if upstream has it still, and upstream's new
// metadata, all of it, if not. No entry file comes without what it lists.
func TestRepairMetadata(t *testing.T) {
	const suite, rpms = "dists/stable/", "updates/41/repodata/"
	for _, tt := range []struct {
		name  string
		spoil string // a pattern below r
		moved bool   // upstream has other metadata by now
	}{
		{"an index", suite + "main/binary-amd64/Packages.xz", false},
		{"an index, by its digest", suite + "main/binary-amd64/by-hash/SHA256/*", false},
		{"an InRelease", suite + "InRelease", false},
		{"an index of a suite that goes on", suite + "main/binary-amd64/Packages.xz", true},
		{"an InRelease that is replaced", suite + "InRelease", true},
		{"primary", rpms + "*primary.xml.*", false},
		{"repomd.xml", rpms + "repomd.xml", false},
		{"primary that is replaced", rpms + "*primary.xml.*", true},
		{"repomd.xml that is replaced", rpms + "repomd.xml", true},
		{"a .deb", "pool/main/v/vlc/*", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "packages = []\nverify = \"\"\nroots = [\"r/dists/stable\"]", nil, pkgSpec("a", "1"))
			dir, has := b.mirrored(testDebs("1"), testrepo.Suite{Name: "stable", ByHash: true, Inline: unsigned})
			publish := func(files map[string][]byte) {
				t.Helper()
				for name, body := range files {
					if err := b.up.Put("/"+name, body); err != nil {
						t.Fatal(err)
					}
				}
			}
			publish(has)
			b.imported(dir)
			b.once()
			if tt.moved {
				for name := range has {
					if strings.Contains(name, "by-hash") {
						if err := os.Remove(filepath.Join(b.files, name)); err != nil {
							t.Fatal(err)
						}
					}
				}
				b.publish(pkgSpec("a", "2"))
				_, has = b.mirrored(testDebs("2"), testrepo.Suite{Name: "stable", ByHash: true, Inline: unsigned})
				publish(has)
			}
			found, err := filepath.Glob(filepath.Join(b.dir, "r", tt.spoil))
			if err != nil || len(found) == 0 {
				t.Fatalf("%q, %v", found, err)
			}
			name, err := filepath.Rel(b.dir, found[0])
			if err != nil {
				t.Fatal(err)
			}
			b.spoil(name)
			report, err := b.agent.Verify(t.Context(), VerifyOptions{Repair: true})
			if err != nil || len(report.Wrong) == 0 || !report.Wrong[0].Repaired {
				t.Fatalf("%+v, %v", report, err)
			}
			for _, w := range report.Wrong {
				// Of the suite that went on a name by digest is left, which upstream has not.
				if old := tt.moved && strings.Contains(w.Path, "by-hash"); !w.Repaired && !old {
					t.Errorf("%+v", w)
				}
			}
			if again, err := b.agent.Verify(t.Context(), VerifyOptions{}); err != nil || len(again.Wrong) != 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
			if strings.HasPrefix(tt.spoil, suite) {
				for _, file := range []string{"InRelease", "main/binary-amd64/Packages.xz"} {
					if !bytes.Equal(b.cached(suite+file), has[suite+file]) {
						t.Errorf("%s is another publication's", file)
					}
				}
			}
			b.up.Stop()
			b.soundGenerations()
			report2, err := b.agent.Once(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range report2.Roots {
				for _, f := range x.Failed {
					if !strings.Contains(f.Error, "no route") {
						t.Errorf("after it: %+v", f)
					}
				}
			}
		})
	}
}

// soundGenerations checks that each file below .im/gen that is named after its digest
// has it, and that each entry file is the one its directory is named after.
func (b *bench) soundGenerations() {
	b.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(b.dir, ".im/gen"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, _, _ := strings.Cut(e.Name(), "-")
		if e.Name() == "repomd.xml" || e.Name() == "InRelease" {
			name = filepath.Base(filepath.Dir(p))
		}
		if len(name) != 64 {
			return nil
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		n++
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != name {
			b.Errorf("%s is damaged", p)
		}
		return nil
	})
	if err != nil || n < 4 {
		b.Errorf("%d files of generations: %v", n, err)
	}
}

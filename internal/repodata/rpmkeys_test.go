package repodata

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// rpmkeys is rpm's own check of packages, with a keyring of its own.
type rpmkeys struct {
	t  *testing.T
	db string
}

func newRPMKeys(t *testing.T) *rpmkeys {
	testrepo.Program(t, "rpmkeys")
	return &rpmkeys{t, t.TempDir()}
}

// imports reports whether rpm takes the keys of the file.
func (r *rpmkeys) imports(name string) bool {
	out, err := exec.Command("rpmkeys", "--dbpath", r.db, "--import", name).CombinedOutput()
	if err != nil {
		r.t.Logf("rpmkeys --import %s: %s", filepath.Base(name), out)
	}
	return err == nil
}

// said is rpm's verdict of a file in our words, and in its own.
type said struct {
	verdict error
	why     string
}

// check has rpm judge the files, all in one run.
func (r *rpmkeys) check(names ...string) map[string]said {
	r.t.Helper()
	// With this level a package needs signatures of all of it; without, digests will do.
	cmd := exec.Command("rpmkeys", append([]string{"--dbpath", r.db, "--define", "_pkgverify_level signature", "--checksig", "-v"}, names...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	// Of each file a line with its name, and lines with what was looked at below it.
	sections := map[string]string{}
	name := ""
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, " ") {
			name = strings.TrimSuffix(line, ":\n")
			continue
		}
		sections[name] += line
	}
	all := make(map[string]said, len(names))
	for _, name := range names {
		why := sections[name]
		verdict := ErrUnsigned
		switch {
		case why == "":
			verdict, why = ErrNoRPM, errs.String()
		case strings.Contains(why, ": BAD"):
			verdict = ErrBadSignature
		case strings.Contains(why, ": NOKEY"):
			verdict = ErrUnknownKey
		case strings.Contains(why, "Signature, key ID") && !strings.Contains(why, ": NOTFOUND"):
			verdict = nil
		}
		all[name] = said{verdict, why}
	}
	return all
}

// compare holds our verdict of the files to rpm's. Of one that none of the keys
// has signed, rpm tells first that it is damaged; none of them is good for either.
func (r *rpmkeys) compare(k *Keyring, names ...string) {
	r.t.Helper()
	for name, theirs := range r.check(names...) {
		b, err := os.ReadFile(name)
		if err != nil {
			r.t.Fatal(err)
		}
		ours := k.CheckPackage(bytes.NewReader(b), int64(len(b)))
		damaged := errors.Is(theirs.verdict, ErrBadSignature) && ours != nil && !errors.Is(ours, ErrBadSignature)
		if !errors.Is(ours, theirs.verdict) && !damaged {
			r.t.Errorf("%s: %v, but rpm says %v: %s", filepath.Base(name), ours, theirs.verdict, theirs.why)
		}
	}
}

// TestRealPackages: on real files, signed and unsigned, of all ages, the verdict
// is rpm's, with no key and with those that lie beside them.
func TestRealPackages(t *testing.T) {
	r := newRPMKeys(t)
	files, err := filepath.Glob(filepath.Join(testrepo.Shared(t, "rpms"), "*", "*.rpm"))
	if err != nil || len(files) < 70 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var k Keyring
	r.compare(&k, files...)
	keys, err := filepath.Glob(filepath.Join(testrepo.Shared(t, "rpms"), "*", "*KEY*"))
	if err != nil || len(keys) < 8 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	var all Keyring
	for _, name := range keys {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := all.Add(b); err != nil {
			t.Fatal(err)
		}
		if r.imports(name) {
			if err := k.Add(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.compare(&k, files...)
	for _, name := range files {
		if !strings.Contains(name, "centos-release") {
			continue
		}
		// With the keys that rpm no longer takes, DSA of Enterprise Linux up to 5, all are good.
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := all.CheckPackage(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
		for _, at := range []int{len(b) - 1, len(b) / 2} {
			if err := all.CheckPackage(bytes.NewReader(flipped(b, at)), int64(len(b))); !errors.Is(err, ErrBadSignature) {
				t.Errorf("%s, byte %d changed: %v", filepath.Base(name), at, err)
			}
		}
	}
}

// TestRPMSign: packages that rpmsign has signed with a key of gpg's, and what
// may become of them on the way.
func TestRPMSign(t *testing.T) {
	testrepo.Program(t, "rpmsign")
	for _, algorithm := range []string{"rsa2048", "ed25519"} {
		t.Run(algorithm, func(t *testing.T) {
			r := newRPMKeys(t)
			g := newGPG(t, algorithm)
			p := takeApart(t)
			name := filepath.Join(t.TempDir(), "signed.rpm")
			put(t, name, built(t))
			g.rpmsign(name)
			signed, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := readRPM(bytes.NewReader(signed), int64(len(signed)))
			if err != nil {
				t.Fatal(err)
			}
			if len(f.headerSigs) != 1 {
				t.Fatalf("%d signatures of the header, %d of the whole", len(f.headerSigs), len(f.wholeSigs))
			}
			header := blob(tagRSAHeader, f.headerSigs[0])
			if algorithm == "ed25519" {
				header.tag = tagDSAHeader
			}
			start := len(signed) - len(p.whole())
			variants := map[string][]byte{
				"signed":                             signed,
				"one signature":                      p.file(filler, header),
				"another payload":                    flipped(signed, len(signed)-10),
				"another payload, one signature":     pieces{p.lead, p.header, flipped(p.payload, 10)}.file(filler, header),
				"another header":                     flipped(signed, start+len(p.header)-20),
				"another header, one signature":      pieces{p.lead, flipped(p.header, len(p.header)-20), p.payload}.file(filler, header),
				"cut short, one signature":           pieces{p.lead, p.header, p.payload[:100]}.file(filler, header),
				"a damaged signature":                p.file(filler, blob(header.tag, flipped(f.headerSigs[0], len(f.headerSigs[0])-5))),
				"signature of another":               p.file(filler, blob(header.tag, newSigner(t, eddsaV4).sign(p.header))),
				"none":                               p.file(filler),
				"no package":                         bytes.Repeat([]byte("<html>"), 100),
				"the header's digest is another one": p.file(filler, header, text(tagSHA1Header, strings.Repeat("0", 40))),
				"the file's digest is another one":   p.file(filler, header, blob(tagMD5, make([]byte, 16))),
			}
			var k Keyring
			for _, with := range []string{"without the key", "with the key"} {
				if with == "with the key" {
					if err := k.Add(g.public()); err != nil {
						t.Fatal(err)
					}
					if !r.imports(filepath.Join(g.home, "key.asc")) {
						t.Fatal("rpm does not take the key")
					}
				}
				var names []string
				for what, b := range variants {
					name := filepath.Join(t.TempDir(), with+", "+what+".rpm")
					put(t, name, b)
					names = append(names, name)
				}
				r.compare(&k, names...)
			}
			if err := k.CheckPackage(bytes.NewReader(signed), int64(len(signed))); err != nil {
				t.Error(err)
			}
			changed := map[string][]byte{}
			for at := leadSize; at < start; at += 7 {
				name := filepath.Join(t.TempDir(), fmt.Sprintf("byte %d.rpm", at))
				changed[name] = flipped(signed, at)
				put(t, name, changed[name])
			}
			for name, theirs := range r.check(slices.Collect(maps.Keys(changed))...) {
				ours := k.CheckPackage(bytes.NewReader(changed[name]), int64(len(changed[name])))
				// rpm also judges how entries lie that nothing depends on, and knows a key by less.
				if theirs.verdict == nil && ours != nil || theirs.verdict == ErrBadSignature && ours == nil {
					t.Errorf("%s changed: %v, but rpm says: %s", filepath.Base(name), ours, theirs.why)
				}
			}
		})
	}
}

// TestGPGDetached: signatures beside a file, as gpg makes them for a repomd.xml.
func TestGPGDetached(t *testing.T) {
	for _, algorithm := range []string{"rsa2048", "ed25519"} {
		g := newGPG(t, algorithm)
		var k Keyring
		if err := k.Add(g.public()); err != nil {
			t.Fatal(err)
		}
		doc := filepath.Join(t.TempDir(), "repomd.xml")
		text := []byte("<repomd>\n</repomd>\n")
		put(t, doc, text)
		for suffix, how := range map[string][]string{".asc": {"--armor"}, ".sig": nil} {
			g.run("gpg", append(append([]string{"--batch", "--quiet", "--output", doc + suffix}, how...), "--detach-sign", doc)...)
			sig, err := os.ReadFile(doc + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.CheckDetached(text, sig); err != nil {
				t.Errorf("%s, %s: %v", algorithm, suffix, err)
			}
			if err := k.CheckDetached(text[1:], sig); !errors.Is(err, ErrBadSignature) {
				t.Errorf("%s, %s, another document: %v", algorithm, suffix, err)
			}
			if err := newSigner(t, eddsaV4).keyring().CheckDetached(text, sig); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("%s, %s, another key: %v", algorithm, suffix, err)
			}
		}
	}
}

// TestPayloadUncovered: of a package whose header alone is signed, and says
// nothing of the payload, rpm demands a signature of the payload too.
func TestPayloadUncovered(t *testing.T) {
	r := newRPMKeys(t)
	s := newSigner(t, rsaV4)
	p := takeApart(t)
	p.header = writeHeader(text(1000, "old"), text(1001, "1"), text(1002, "1"))
	key := filepath.Join(t.TempDir(), "key")
	put(t, key, armored(t, "PGP PUBLIC KEY BLOCK", s.public()))
	if !r.imports(key) {
		t.Fatal("rpm does not take the key")
	}
	name := filepath.Join(t.TempDir(), "old.rpm")
	put(t, name, p.file(filler, blob(tagRSAHeader, s.signAs(0, crypto.SHA256, p.header))))
	r.compare(s.keyring(), name)
	if theirs := r.check(name)[name]; theirs.verdict == nil {
		t.Errorf("rpm takes it: %s", theirs.why)
	}
}

// filler is an entry of a signature header that says nothing of signatures: one
// without any entry is no header to rpm.
var filler = text(1000, "size")

func put(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// gpg is a home of GnuPG's with one key.
type gpg struct {
	t    *testing.T
	home string
}

func newGPG(t *testing.T, algorithm string) *gpg {
	testrepo.Program(t, "gpg")
	testrepo.Program(t, "gpg-agent")
	testrepo.Program(t, "gpgconf")
	// A socket's path must be short.
	home, err := os.MkdirTemp("", "gpg-")
	if err != nil {
		t.Fatal(err)
	}
	g := &gpg{t, home}
	t.Cleanup(func() {
		g.run("gpgconf", "--homedir", home, "--kill", "all")
		os.RemoveAll(home)
	})
	g.run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "A test <test@example.org>", algorithm, "sign", "never")
	g.run("gpg", "--batch", "--armor", "--output", filepath.Join(home, "key.asc"), "--export")
	return g
}

func (g *gpg) run(name string, args ...string) {
	g.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+g.home, "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("%s: %v: %s", cmd, err, out)
	}
}

// public is the key's file, armored.
func (g *gpg) public() []byte {
	b, err := os.ReadFile(filepath.Join(g.home, "key.asc"))
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

// rpmsign signs the package in place.
func (g *gpg) rpmsign(name string) {
	g.t.Helper()
	g.run("rpmsign", "--define", "__gpg "+testrepo.Program(g.t, "gpg"), "--define", "_gpg_name test@example.org", "--define", "_gpg_path "+g.home, "--addsign", name)
}

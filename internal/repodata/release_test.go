package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"
)

var (
	sumA = strings.Repeat("a", 64)
	sumB = strings.Repeat("b", 64)
	sumC = strings.Repeat("C", 128)
)

// inline is text as s signs it: an InRelease.
func (s signer) inline(text string) []byte {
	s.t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, s.entity.PrivateKey, nil)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

const someRelease = `Origin: Debian
Suite: stable
Codename: bookworm
Date: Sat, 09 Nov 2024 10:04:12 UTC
Valid-Until: Sat, 16 Nov 2024 11:04:12 +0100
Acquire-By-Hash: yes
Architectures: all amd64
Components: main contrib
Description: a suite
 of some
 .
 lines
MD5Sum:
 0ed6d4c8891eb86358b94bb35d9e4da4  1484322 contrib/Contents-all
SHA256:
`

func TestParseRelease(t *testing.T) {
	text := someRelease + " " + sumA + "  10 main/binary-amd64/Packages.xz\n " + strings.ToUpper(sumB) + " 0 main/binary-amd64/Packages\nSHA512:\n " +
		sumC + " 10 main/binary-amd64/Packages.xz\n " + sumC + " 7 main/i18n/Translation-en.bz2\n"
	want := &Release{
		Origin: "Debian", Suite: "stable", Codename: "bookworm", Components: []string{"main", "contrib"}, Architectures: []string{"all", "amd64"},
		Date: time.Date(2024, 11, 9, 10, 4, 12, 0, time.UTC), ValidUntil: time.Date(2024, 11, 16, 10, 4, 12, 0, time.UTC), ByHash: true,
		Files: []Index{
			{Path: "main/binary-amd64/Packages.xz", Size: 10, SHA256: Checksum{"sha256", sumA}, SHA512: Checksum{"sha512", strings.ToLower(sumC)}},
			{Path: "main/binary-amd64/Packages", SHA256: Checksum{"sha256", sumB}},
			{Path: "main/i18n/Translation-en.bz2", Size: 7, SHA512: Checksum{"sha512", strings.ToLower(sumC)}},
		},
	}
	for name, doc := range map[string][]byte{"Release": []byte(text), "InRelease": newSigner(t, eddsaV4).inline(text), "with carriage returns": []byte(strings.ReplaceAll(text, "\n", "\r\n"))} {
		got, err := ParseRelease(doc)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := want.Files[0].Checksum(); got.Type != "sha256" {
		t.Errorf("known by its %s", got.Type)
	}
	if got := want.Files[2].Checksum(); got.Type != "sha512" {
		t.Errorf("known by its %s", got.Type)
	}
}

// TestReleaseRefusesFiles: a file that can't be trusted is left out, and nothing else.
func TestReleaseRefusesFiles(t *testing.T) {
	for _, line := range []string{
		sumA + " 1 ../x", sumA + " 1 /etc/passwd", sumA + " 1 http://example.org/x", sumA + " 1 a/../b", sumA + " 1 a/%2e%2e/b", sumA + " 1 ./x",
		sumA + " -1 x", sumA + " 1 x y", sumA, sumA + " 1e3 x", sumA[1:] + " 1 x", sumA[1:] + "g 1 x",
		sumA + " 1 x\n " + sumB + " 1 x", sumA + " 1 x\n " + sumA + " 2 x", sumA + " 1 x\nSHA512:\n " + sumC + " 2 x",
	} {
		got, err := ParseRelease([]byte(someRelease + " " + line + "\n"))
		if err != nil || len(got.Files) != 0 || len(got.Refused) != 1 {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	got, err := ParseRelease([]byte(strings.Replace(someRelease, "Sat, 09 Nov", "9.11.", 1) + " " + sumA + " 1 x\n " + sumA + " 1 x\n"))
	if err != nil || len(got.Files) != 1 || !got.Date.IsZero() || len(got.Refused) != 1 {
		t.Errorf("a date that is none, a file twice: %+v, %v", got, err)
	}
	got, err = ParseRelease([]byte("MD5Sum:\n 0ed6d4c8891eb86358b94bb35d9e4da4 1 x\nSHA1:\n da39a3ee5e6b4b0d3255bfef95601890afd80709 1 x\n"))
	if err != nil || len(got.Files) != 0 {
		t.Errorf("MD5 and SHA-1 alone: %+v, %v", got, err)
	}
}

// TestNoRelease: what is none as a whole.
func TestNoRelease(t *testing.T) {
	s := newSigner(t, eddsaV4)
	signed := s.inline(someRelease)
	for name, doc := range map[string][]byte{
		"nothing":              nil,
		"a page":               []byte("<!DOCTYPE html>\n<html><body>Please log in: here</body></html>\n"),
		"of a component":       []byte("Archive: stable\nComponent: main\nArchitecture: amd64\n"),
		"two paragraphs":       []byte(someRelease + "\nSuite: other\n"),
		"a field twice":        []byte(someRelease + "Suite: other\n"),
		"a list twice":         []byte(someRelease + "SHA256:\n"),
		"a line that goes on":  []byte(" " + someRelease),
		"a huge line":          []byte(someRelease + "X: " + strings.Repeat("x", maxField) + "\n"),
		"too large":            make([]byte, maxRelease+1),
		"cut in its text":      signed[:300],
		"cut in its signature": signed[:len(signed)-40],
		"something behind":     append(bytes.Clone(signed), "SHA256:\n"...),
		"something before":     append([]byte("Suite: x\n"), signed...),
		"signed twice":         append(bytes.Clone(signed), signed...),
	} {
		if got, err := ParseRelease(doc); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestCheckInline: the three failures are held apart.
func TestCheckInline(t *testing.T) {
	ours, second, stranger := newSigner(t, rsaV4), newSigner(t, ed25519), newSigner(t, eddsaV4)
	var k Keyring
	for _, s := range []signer{ours, second} {
		if err := k.Add(s.public()); err != nil {
			t.Fatal(err)
		}
	}
	text := someRelease + " " + sumA + " 1 x\n - dashes and blanks  \t\n"
	twice := func(a, b signer) []byte {
		doc := a.inline(text)
		block, _ := clearsign.Decode(b.inline(text))
		var first, both bytes.Buffer
		one, _ := clearsign.Decode(doc)
		if _, err := first.ReadFrom(one.ArmoredSignature.Body); err != nil {
			t.Fatal(err)
		}
		if _, err := both.ReadFrom(block.ArmoredSignature.Body); err != nil {
			t.Fatal(err)
		}
		head, _, _ := bytes.Cut(doc, []byte("-----BEGIN PGP SIGNATURE-----"))
		return append(bytes.Clone(head), armored(t, "PGP SIGNATURE", append(first.Bytes(), both.Bytes()...))...)
	}
	binary := func() []byte {
		doc := ours.inline(text)
		block, _ := clearsign.Decode(doc)
		head, _, _ := bytes.Cut(doc, []byte("-----BEGIN PGP SIGNATURE-----"))
		return append(bytes.Clone(head), armored(t, "PGP SIGNATURE", ours.signAs(packet.SigTypeBinary, 5, block.Bytes))...)
	}
	for _, tt := range []struct {
		name string
		doc  []byte
		want error
	}{
		{"RSA", ours.inline(text), nil},
		{"version 6", second.inline(text), nil},
		{"with carriage returns", bytes.ReplaceAll(ours.inline(text), []byte("\n"), []byte("\r\n")), nil},
		{"ours beside a stranger's", twice(stranger, ours), nil},
		{"a stranger's", stranger.inline(text), ErrUnknownKey},
		{"another text", bytes.Replace(ours.inline(text), []byte("stable"), []byte("stabby"), 1), ErrBadSignature},
		{"a line more", bytes.Replace(ours.inline(text), []byte("Suite:"), []byte("X: y\nSuite:"), 1), ErrBadSignature},
		{"of bytes, not of a text", binary(), ErrBadSignature},
		{"not signed", []byte(text), ErrUnsigned},
		{"something behind", append(ours.inline(text), "Suite: x\n"...), ErrUnsigned},
		{"something before", append([]byte("Suite: x\n"), ours.inline(text)...), ErrUnsigned},
		{"nothing", nil, ErrUnsigned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := k.CheckInline(tt.doc); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err := new(Keyring).CheckInline(tt.doc); err == nil {
				t.Error("good without any key")
			}
		})
	}
}

// debianLists is where apt keeps what it has fetched on a Debian machine, and the
// keys of Debian.
const (
	debianLists = "/var/lib/apt/lists"
	debianKeys  = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// realReleases are the InRelease files of a Debian machine.
func realReleases(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(debianLists + "/*debian*_InRelease")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRealRelease: Debian's own, where this is a Debian machine.
func TestRealRelease(t *testing.T) {
	names := realReleases(t)
	if len(names) == 0 {
		t.Skip("no InRelease in " + debianLists)
	}
	var k Keyring
	if keys, err := os.ReadFile(debianKeys); err != nil {
		t.Skip(err)
	} else if err := k.Add(keys); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRelease(doc)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(r.Files) == 0 || len(r.Refused) != 0 || r.Date.IsZero() || !r.ByHash || r.Codename == "" {
			t.Errorf("%s: %d files, %v, of %s, by hash %v", name, len(r.Files), r.Refused, r.Date, r.ByHash)
		}
		if err := k.CheckInline(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := k.CheckInline(bytes.Replace(doc, []byte("Codename: "), []byte("Codename: x"), 1)); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s, altered: %v", name, err)
		}
	}
}

// TestRealDebPackages: what apt has of Debian is read as a whole.
func TestRealDebPackages(t *testing.T) {
	names, err := filepath.Glob(debianLists + "/*debian*_Packages*")
	if err != nil || len(names) == 0 {
		t.Skip("no Packages in "+debianLists, err)
	}
	for _, name := range names {
		text, err := exec.Command("/usr/lib/apt/apt-helper", "cat-file", name).Output()
		if err != nil {
			testrepo.Lacking(t, fmt.Sprintf("apt no longer reads %s: %v", name, err))
		}
		stats, err := ScanPackages(bytes.NewReader(text), func(*DebPackage) error { return nil })
		if want := bytes.Count(text, []byte("\nFilename: ")); err != nil || stats.Packages != want || stats.Skipped != 0 {
			t.Errorf("%s: %+v, %v, want %d packages", name, stats, err, want)
		}
	}
}

// FuzzParseRelease: whatever it is made of, no file that it lists leads out, and
// each has a digest.
func FuzzParseRelease(f *testing.F) {
	f.Add([]byte(someRelease + " " + sumA + " 1 x\n"))
	f.Add(fuzzSigner(f).inline(someRelease + " " + sumA + " 1 x\n"))
	for _, name := range realReleases(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 8000)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRelease(b)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, x := range r.Files {
			loc, err := CheckLocation(x.Path)
			if err != nil || loc != x.Path || x.Size < 0 || x.Checksum() == (Checksum{}) || seen[x.Path] {
				t.Errorf("%+v: %v", x, err)
			}
			seen[x.Path] = true
		}
	})
}

// FuzzCheckInline: nothing but the text that somebody signed is good, and what is
// good says what that text says.
func FuzzCheckInline(f *testing.F) {
	ours := fuzzSigner(f)
	k := ours.keyring()
	text := someRelease + " " + sumA + " 1 x\n"
	want, err := ParseRelease([]byte(text))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ours.inline(text))
	f.Add(bytes.Replace(ours.inline(text), []byte("stable"), []byte("stabby"), 1))
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if k.CheckInline(doc) != nil {
			return
		}
		if got, err := ParseRelease(doc); err != nil || !cmp.Equal(got, want) {
			t.Errorf("good, though nobody signed it: %q, %v", doc, err)
		}
	})
}

package repodata

import (
	"bytes"
	"crypto"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// fuzzSigner is the same key in each process of a fuzzer.
func fuzzSigner(f *testing.F) signer {
	c := eddsaV4
	c.Rand = rand.NewChaCha8([32]byte{1})
	return newSigner(f, c)
}

// shared are the contents of the real files that match pattern; none where the
// shared data is not there.
func shared(f *testing.F, folder, pattern string) (all [][]byte) {
	dir := testrepo.FindShared(folder)
	if dir == "" {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*", pattern))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// covered is what signatures are of in a package file.
func covered(t testing.TB, b []byte) string {
	f, err := readRPM(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(io.MultiReader(f.header, f.payload))
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// FuzzCheckPackage: no input makes it panic, and none is good but with the
// header and the payload that somebody signed.
func FuzzCheckPackage(f *testing.F) {
	ours := fuzzSigner(f)
	k := ours.keyring()
	for _, b := range shared(f, "rpms", "*KEY*") {
		// So that the arithmetic of real signatures is reached too.
		if err := k.Add(b); err != nil {
			f.Fatal(err)
		}
	}
	p := takeApart(f)
	seeds := append(shared(f, "rpms", "*.rpm"),
		p.file(filler),
		p.file(blob(tagDSAHeader, ours.sign(p.header)), blob(tagGPG, ours.sign(p.whole()))),
		p.file(blob(tagGPG, ours.sign(p.whole()))),
		p.file(list(tagOpenPGP, armorless(ours.sign(p.header)))),
		p.file(blob(tagRSAHeader, newSigner(f, rsaV4).signV3(8, crypto.SHA256, p.header))))
	signed := map[string]bool{}
	for _, b := range seeds {
		if k.CheckPackage(bytes.NewReader(b), int64(len(b))) == nil {
			signed[covered(f, b)] = true
		}
		f.Add(b)
	}
	if len(signed) == 0 {
		f.Fatal("no seed is good")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k.CheckPackage(bytes.NewReader(b), int64(len(b))) == nil && !signed[covered(t, b)] {
			t.Error("good, though nobody signed it")
		}
	})
}

// FuzzCheckDetached: the same of a detached signature.
func FuzzCheckDetached(f *testing.F) {
	ours := fuzzSigner(f)
	k := ours.keyring()
	doc := "<repomd/>"
	f.Add([]byte(doc), ours.sign([]byte(doc)))
	f.Add([]byte(doc), armored(f, "PGP SIGNATURE", ours.sign([]byte(doc))))
	f.Add([]byte("x"), newSigner(f, rsaV4).signV3(8, crypto.SHA256, []byte("x")))
	for _, b := range shared(f, "repodata", "repodata/*.asc") {
		f.Add([]byte("x"), b)
	}
	f.Fuzz(func(t *testing.T, signed, signature []byte) {
		if k.CheckDetached(signed, signature) == nil && string(signed) != doc {
			t.Errorf("good, though nobody signed %q", signed)
		}
	})
}

// FuzzKeyring: no file of keys makes it panic, and one without a key is an error.
func FuzzKeyring(f *testing.F) {
	f.Add(fuzzSigner(f).public())
	for _, b := range append(shared(f, "rpms", "*KEY*"), shared(f, "keys", "*KEY*")...) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var k Keyring
		if err := k.Add(b); err == nil && len(k.keys) == 0 {
			t.Error("no key, and no error")
		}
	})
}

package repodata

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

func TestKeyringAdd(t *testing.T) {
	a, b := newSigner(t, rsaV4), newSigner(t, eddsaV4)
	block := func(s signer) []byte { return armored(t, "PGP PUBLIC KEY BLOCK", s.public()) }
	for _, tt := range []struct {
		name string
		file []byte
		keys int    // subkeys that sign count too; the test's own can't
		err  string // part of the error
	}{
		{"binary", a.public(), 1, ""},
		{"armored", block(a), 1, ""},
		{"two in one", append(a.public(), b.public()...), 2, ""},
		{"two blocks", append(block(a), block(b)...), 2, ""},
		{"twice the same", append(block(a), block(a)...), 1, ""},
		{"text around it", append([]byte("Release key\n\n"), append(block(a), "\nThat is it.\n"...)...), 1, ""},
		{"empty", nil, 0, "no public key"},
		{"a page", []byte("<html>\n</html>\n"), 0, "damaged, or no OpenPGP keys"},
		{"a signature", armored(t, "PGP SIGNATURE", a.sign(nil)), 0, "armored, but no"},
		{"cut short", a.public()[:100], 0, "damaged"},
		{"cut short, armored", block(a)[:200], 0, "damaged"},
		{"a certificate", armored(t, "CERTIFICATE", a.public()), 0, "armored, but no"},
		{"of an unknown kind", []byte{0x98, 6, 2, 0, 0, 0, 0, 1}, 0, "no public key that can be used"},
		{"too large", make([]byte, maxKeys+1), 0, "are these keys?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var k Keyring
			err := k.Add(tt.file)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("err = %v, want %q in it", err, tt.err)
			}
			primary := 0
			for _, s := range []signer{a, b} {
				if k.keys[s.entity.PrimaryKey.KeyId] != nil {
					primary++
				}
			}
			if tt.err == "" && primary != tt.keys {
				t.Errorf("%d keys, want %d", primary, tt.keys)
			}
		})
	}
}

func TestKeyringID(t *testing.T) {
	a, b := newSigner(t, eddsaV4), newSigner(t, eddsaV4)
	id := func(files ...[]byte) string {
		var k Keyring
		for _, f := range files {
			if err := k.Add(f); err != nil {
				t.Fatal(err)
			}
		}
		return k.ID()
	}
	both := id(a.public(), b.public())
	if len(both) != 16 || both != id(b.public(), a.public(), a.public()) {
		t.Errorf("%q is not the same in another order", both)
	}
	if both == id(a.public()) || id(a.public()) == id(b.public()) {
		t.Error("other keys have the same ID")
	}
}

// TestDistributionsKeys: the keys that distributions publish can all be used,
// however old.
func TestDistributionsKeys(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testrepo.Shared(t, "keys"), "*", "*"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var k Keyring
		err = k.Add(b)
		if bytes.HasPrefix(b, []byte("-----BEGIN PUBLIC KEY-----")) {
			if err == nil {
				t.Errorf("%s is no OpenPGP key, and no error", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

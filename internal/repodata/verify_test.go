package repodata

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"intelligentmirror/internal/testrepo"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// TestCheckPackage holds the three failures apart, and that nothing that no
// signature covers is good.
func TestCheckPackage(t *testing.T) {
	ours, second, stranger := newSigner(t, rsaV4), newSigner(t, eddsaV4), newSigner(t, eddsaV4)
	third, fourth := newSigner(t, ed25519), newSigner(t, ecdsaV4)
	var k Keyring
	for _, s := range []signer{ours, second, third, fourth} {
		if err := k.Add(s.public()); err != nil {
			t.Fatal(err)
		}
	}
	p := takeApart(t)
	// A package as rpm before 4.14 built them: nothing in its header says what the payload is.
	old := pieces{lead: p.lead, header: writeHeader(text(1000, "old")), payload: p.payload}
	// One whose payload was unpacked on the way, as the header allows it to be.
	sum, other := sha256.Sum256(p.payload), sha256.Sum256(nil)
	unpacked := pieces{lead: p.lead, payload: p.payload, header: writeHeader(
		list(tagPayloadSum, []byte(hex.EncodeToString(other[:]))),
		value{tagPayloadSumType, typeInt32, 1, binary.BigEndian.AppendUint32(nil, 8)},
		list(tagPayloadSumAlt, []byte(hex.EncodeToString(sum[:]))))}
	strange := pieces{lead: p.lead, payload: p.payload, header: writeHeader(
		list(tagPayloadSum, []byte(hex.EncodeToString(sum[:]))),
		value{tagPayloadSumType, typeInt32, 1, binary.BigEndian.AppendUint32(nil, 1)})}
	sums := make([]value, maxSums+1)
	for i := range sums {
		sums[i] = list(tagPayloadSum, []byte(hex.EncodeToString(sum[:])))
	}
	many := pieces{lead: p.lead, payload: p.payload, header: writeHeader(sums...)}
	short := pieces{lead: p.lead, header: p.header, payload: p.payload[:len(p.payload)-1]}
	sig := blob(tagRSAHeader, ours.sign(p.header))
	md, sha := md5.Sum(p.whole()), sha1.Sum(p.header)
	hsum := sha256.Sum256(p.header)

	for _, tt := range []struct {
		name string
		file []byte
		want error
	}{
		{"RSA over the header", p.file(sig), nil},
		{"RSA over both", p.file(blob(tagPGP, ours.sign(p.whole()))), nil},
		{"EdDSA over the header", p.file(blob(tagDSAHeader, second.sign(p.header))), nil},
		{"EdDSA over both", p.file(blob(tagGPG, second.sign(p.whole()))), nil},
		{"version 6 over the header", p.file(list(tagOpenPGP, armorless(third.sign(p.header)))), nil},
		{"ECDSA over the header", p.file(blob(tagDSAHeader, fourth.sign(p.header))), nil},
		{"RSA over SHA-1", p.file(blob(tagRSAHeader, ours.signV3(2, crypto.SHA1, p.header))), nil},
		{"RSA over SHA-512", p.file(blob(tagRSAHeader, ours.signAs(0, crypto.SHA512, p.header))), nil},
		{"version 3 over the header", p.file(blob(tagRSAHeader, ours.signV3(8, crypto.SHA256, p.header))), nil},
		{"version 3 over both", old.file(blob(tagPGP, ours.signV3(8, crypto.SHA256, old.whole()))), nil},
		{"several by one key each", p.file(list(tagOpenPGP, armorless(ours.sign(p.header)), armorless(third.sign(p.header)))), nil},
		{"ours beside a stranger's", p.file(list(tagOpenPGP, armorless(stranger.sign(p.header)), armorless(third.sign(p.header)))), nil},
		{"with all digests", p.file(sig, blob(tagMD5, md[:]), text(tagSHA1Header, hex.EncodeToString(sha[:])), text(tagSHA256, hex.EncodeToString(hsum[:]))), nil},
		{"unpacked on the way", unpacked.file(blob(tagRSAHeader, ours.sign(unpacked.header))), nil},

		{"unsigned", p.file(), ErrUnsigned},
		{"the header alone", old.file(blob(tagRSAHeader, ours.sign(old.header))), ErrUnsigned},
		{"the header alone, a payload digest of MD5", strange.file(blob(tagRSAHeader, ours.sign(strange.header))), ErrUnsigned},

		{"a stranger's", p.file(blob(tagDSAHeader, stranger.sign(p.header))), ErrUnknownKey},
		{"a stranger's over both", p.file(blob(tagGPG, stranger.sign(p.whole()))), ErrUnknownKey},
		{"the payload by a stranger", old.file(blob(tagRSAHeader, ours.sign(old.header)), blob(tagGPG, stranger.sign(old.whole()))), ErrUnknownKey},
		{"of an unknown kind", p.file(blob(tagRSAHeader, withAlgorithm(ours.sign(p.header), 99))), ErrUnknownKey},

		{"another header", p.file(blob(tagRSAHeader, ours.sign(flipped(p.header, 60)))), ErrBadSignature},
		{"another payload", pieces{p.lead, p.header, flipped(p.payload, 100)}.file(sig), ErrBadSignature},
		{"a payload that is cut short", short.file(sig), ErrBadSignature},
		{"more behind the payload", append(p.file(sig), 0), ErrBadSignature},
		{"another payload, both signed", pieces{p.lead, old.header, flipped(p.payload, 100)}.file(blob(tagPGP, ours.sign(old.whole()))), ErrBadSignature},
		{"a damaged signature", p.file(blob(tagRSAHeader, flipped(ours.sign(p.header), 150))), ErrBadSignature},
		{"a signature that is cut short", p.file(blob(tagRSAHeader, ours.sign(p.header)[:100])), ErrBadSignature},
		{"version 3, another header", p.file(blob(tagRSAHeader, ours.signV3(8, crypto.SHA256, flipped(p.header, 60)))), ErrBadSignature},
		{"version 3, damaged", p.file(blob(tagRSAHeader, []byte{0x89, 0, 4, 3, 5, 0, 0})), ErrBadSignature},
		{"over MD5", p.file(blob(tagRSAHeader, ours.signV3(1, crypto.MD5, p.header))), ErrBadSignature},
		{"of a text", p.file(blob(tagRSAHeader, ours.signAs(packet.SigTypeText, crypto.SHA256, p.header))), ErrBadSignature},
		{"a key where a signature belongs", p.file(blob(tagRSAHeader, ours.public())), ErrBadSignature},
		{"a good one beside a bad one", p.file(sig, blob(tagPGP, ours.sign(p.header))), ErrBadSignature},
		{"the header's digest is another", p.file(sig, text(tagSHA1Header, hex.EncodeToString(md[:]))), ErrBadSignature},
		{"the file's digest is another", p.file(sig, blob(tagMD5, sha[:])), ErrBadSignature},

		{"empty", nil, ErrNoRPM},
		{"a lead alone", p.lead, ErrNoRPM},
		{"no package", bytes.Repeat([]byte("<html>"), 100), ErrNoRPM},
		{"no base64", p.file(list(tagOpenPGP, []byte("!"))), ErrNoRPM},
		{"a signature of the wrong type", p.file(text(tagRSAHeader, "x")), ErrNoRPM},
		{"too many signatures", p.file(list(tagOpenPGP, make([][]byte, maxSignatures+1)...)), ErrNoRPM},
		{"too many digests of the payload, in entries of a few", many.file(sig), ErrNoRPM},
		{"too large a signature", p.file(blob(tagRSAHeader, make([]byte, maxSignature+1))), ErrNoRPM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := k.CheckPackage(bytes.NewReader(tt.file), int64(len(tt.file)))
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			for _, other := range []error{ErrUnsigned, ErrUnknownKey, ErrBadSignature, ErrNoRPM} {
				if other != tt.want && errors.Is(err, other) {
					t.Errorf("%v is %v too", err, other)
				}
			}
			if err := new(Keyring).CheckPackage(bytes.NewReader(tt.file), int64(len(tt.file))); err == nil {
				t.Error("good without any key")
			}
		})
	}
}

// TestUnsignedIsNotRead: of a package that no known key has signed the payload
// is not read, however large it is.
func TestUnsignedIsNotRead(t *testing.T) {
	p, ours := takeApart(t), newSigner(t, eddsaV4)
	stranger := newSigner(t, eddsaV4)
	for name, file := range map[string][]byte{"unsigned": p.file(), "stranger's": p.file(blob(tagGPG, stranger.sign(p.whole())))} {
		r := &watched{r: bytes.NewReader(file)}
		if err := ours.keyring().CheckPackage(r, int64(len(file))); err == nil {
			t.Errorf("%s: good", name)
		}
		if payload := int64(len(file) - len(p.payload)); r.most > payload {
			t.Errorf("%s: read up to byte %d, the payload begins at %d", name, r.most, payload)
		}
	}
}

// watched notes how far its reader was read.
type watched struct {
	r    io.ReaderAt
	most int64
}

func (w *watched) ReadAt(b []byte, off int64) (int, error) {
	n, err := w.r.ReadAt(b, off)
	w.most = max(w.most, off+int64(n))
	return n, err
}

func TestCheckPackageReadError(t *testing.T) {
	p, ours := takeApart(t), newSigner(t, eddsaV4)
	file := p.file(blob(tagGPG, ours.sign(p.whole())))
	k := ours.keyring()
	for _, at := range []int64{0, 100, 120, 400, int64(len(file)) - 10} {
		r := io.NewSectionReader(bytes.NewReader(file), 0, at) // the disk has less than it said
		if err := k.CheckPackage(r, int64(len(file))); err == nil {
			t.Errorf("good though byte %d can't be read", at)
		}
	}
}

func TestCheckDetached(t *testing.T) {
	ours, stranger, v6 := newSigner(t, rsaV4), newSigner(t, eddsaV4), newSigner(t, ed25519)
	var k Keyring
	for _, s := range []signer{ours, v6} {
		if err := k.Add(s.public()); err != nil {
			t.Fatal(err)
		}
	}
	doc := []byte("<repomd>\n</repomd>\n")
	for _, tt := range []struct {
		name string
		sig  []byte
		want error
	}{
		{"binary", ours.sign(doc), nil},
		{"armored", armored(t, "PGP SIGNATURE", ours.sign(doc)), nil},
		{"armored, text before it", append([]byte("Hello\n"), armored(t, "PGP SIGNATURE", ours.sign(doc))...), nil},
		{"version 6", armored(t, "PGP SIGNATURE", v6.sign(doc)), nil},
		{"two in one", append(stranger.sign(doc), ours.sign(doc)...), nil},
		{"two blocks", append(armored(t, "PGP SIGNATURE", stranger.sign(doc)), armored(t, "PGP SIGNATURE", ours.sign(doc))...), nil},
		{"none", nil, ErrUnsigned},
		{"white space", []byte(" \n"), ErrUnsigned},
		{"an empty block", armored(t, "PGP SIGNATURE", nil), ErrUnsigned},
		{"a stranger's", stranger.sign(doc), ErrUnknownKey},
		{"of something else", ours.sign(doc[1:]), ErrBadSignature},
		{"a good one beside a bad one", append(ours.sign(doc), v6.sign(doc[1:])...), ErrBadSignature},
		{"a key", armored(t, "PGP PUBLIC KEY BLOCK", ours.public()), ErrBadSignature},
		{"a page", []byte("<html>not found</html>"), ErrBadSignature},
		{"too large", make([]byte, maxDetached+1), ErrBadSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := k.CheckDetached(doc, tt.sig); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestDetachedReal: the repomd.xml of a real repository and its signature, by a
// key that is not among ours.
func TestDetachedReal(t *testing.T) {
	dir := testrepo.Shared(t, "repodata")
	found, err := filepath.Glob(filepath.Join(dir, "*", "repodata", "repomd.xml.asc"))
	if err != nil || len(found) == 0 {
		t.Fatalf("%v, %v", found, err)
	}
	ours := newSigner(t, eddsaV4).keyring()
	for _, name := range found {
		asc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := os.ReadFile(name[:len(name)-len(".asc")])
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.CheckDetached(doc, asc); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
		// The key often lies beside it.
		key, err := os.ReadFile(name[:len(name)-len(".asc")] + ".key")
		if err != nil {
			continue
		}
		var k Keyring
		if err := k.Add(key); err != nil {
			t.Fatal(err)
		}
		if err := k.CheckDetached(doc, asc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := k.CheckDetached(doc[1:], asc); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s, another document: %v", name, err)
		}
	}
}

func armored(t testing.TB, typ string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, typ, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// withAlgorithm is a signature packet of version 4 that says to be of another
// public key algorithm.
func withAlgorithm(b []byte, number byte) []byte {
	i := bytes.Index(b, []byte{4, 0, byte(packet.PubKeyAlgoRSA)})
	b = bytes.Clone(b)
	b[i+2] = number
	return b
}

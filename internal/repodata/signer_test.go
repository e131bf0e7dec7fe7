package repodata

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"intelligentmirror/internal/testrepo"
)

// signer is a key that signs in tests.
type signer struct {
	t      testing.TB
	entity *openpgp.Entity
}

var (
	rsaV4   = packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048}
	eddsaV4 = packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}
	ecdsaV4 = packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256}
	ed25519 = packet.Config{Algorithm: packet.PubKeyAlgoEd25519, V6Keys: true}
)

func newSigner(t testing.TB, c packet.Config) signer {
	t.Helper()
	c.Time = func() time.Time { return time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC) }
	e, err := openpgp.NewEntity("A test", "", "test@example.org", &c)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, e}
}

// public is the key's file, binary.
func (s signer) public() []byte {
	var b bytes.Buffer
	if err := s.entity.Serialize(&b); err != nil {
		s.t.Fatal(err)
	}
	return b.Bytes()
}

func (s signer) keyring() *Keyring {
	s.t.Helper()
	var k Keyring
	if err := k.Add(s.public()); err != nil {
		s.t.Fatal(err)
	}
	return &k
}

// sign is a signature packet over b.
func (s signer) sign(b []byte) []byte { return s.signAs(packet.SigTypeBinary, crypto.SHA256, b) }

func (s signer) signAs(typ packet.SignatureType, h crypto.Hash, b []byte) []byte {
	s.t.Helper()
	c := &packet.Config{DefaultHash: h}
	sig := &packet.Signature{
		SigType: typ, PubKeyAlgo: s.entity.PrimaryKey.PubKeyAlgo, Hash: h, CreationTime: time.Now(),
		IssuerKeyId: &s.entity.PrimaryKey.KeyId, Version: s.entity.PrimaryKey.Version,
	}
	w, err := sig.PrepareSign(c)
	if err != nil {
		s.t.Fatal(err)
	}
	w.Write(b)
	if err := sig.Sign(w, s.entity.PrivateKey, c); err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := sig.Serialize(&out); err != nil {
		s.t.Fatal(err)
	}
	return out.Bytes()
}

// signV3 is a signature packet of version 3, as old distributions' packages
// have it. The key has to be an RSA key.
func (s signer) signV3(number byte, hash crypto.Hash, b []byte) []byte {
	s.t.Helper()
	h := hash.New()
	h.Write(b)
	hashed := []byte{0, 0x40, 0x01, 0x02, 0x03} // type, time
	h.Write(hashed)
	sum := h.Sum(nil)
	key := s.entity.PrivateKey.PrivateKey.(*rsa.PrivateKey)
	raw, err := rsa.SignPKCS1v15(rand.Reader, key, hash, sum)
	if err != nil {
		s.t.Fatal(err)
	}
	body := append([]byte{3, 5}, hashed...)
	body = binary.BigEndian.AppendUint64(body, s.entity.PrimaryKey.KeyId)
	body = append(body, byte(packet.PubKeyAlgoRSA), number, sum[0], sum[1])
	body = binary.BigEndian.AppendUint16(body, uint16(8*len(raw)))
	body = append(body, raw...)
	// An old packet with a length of two octets.
	return append([]byte{0x89, byte(len(body) >> 8), byte(len(body))}, body...)
}

// pieces are a package's parts, to be put together anew.
type pieces struct{ lead, header, payload []byte }

// built is the package that takeApart takes apart.
func built(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	s := testrepo.Spec{Name: "signed", Version: "1", Release: "1", Size: 5000}
	if err := testrepo.Build(dir, []testrepo.Spec{s}, testrepo.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, s.Location()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p pieces) whole() []byte { return append(bytes.Clone(p.header), p.payload...) }

// takeApart builds a package and takes it apart.
func takeApart(t testing.TB) pieces {
	t.Helper()
	b := built(t)
	f, err := readRPM(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	p := pieces{lead: b[:leadSize]}
	if p.header, err = io.ReadAll(f.header); err != nil {
		t.Fatal(err)
	}
	if p.payload, err = io.ReadAll(f.payload); err != nil {
		t.Fatal(err)
	}
	return p
}

// value is an entry of a header that a test writes.
type value struct {
	tag, typ uint32
	count    int
	data     []byte
}

func blob(tag uint32, b []byte) value { return value{tag, typeBinary, len(b), b} }

func text(tag uint32, s string) value { return value{tag, typeString, 1, append([]byte(s), 0)} }

func list(tag uint32, all ...[]byte) value {
	v := value{tag: tag, typ: typeStringArray, count: len(all)}
	for _, b := range all {
		v.data = append(append(v.data, b...), 0)
	}
	return v
}

// armorless is the base64 that a list of signatures has.
func armorless(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }

// writeHeader is a header of these entries.
func writeHeader(values ...value) []byte {
	var index, data []byte
	for _, v := range values {
		if v.typ == typeInt32 {
			data = append(data, make([]byte, -len(data)&3)...)
		}
		for _, n := range []uint32{v.tag, v.typ, uint32(len(data)), uint32(v.count)} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		data = append(data, v.data...)
	}
	h := []byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}
	h = binary.BigEndian.AppendUint32(h, uint32(len(values)))
	h = binary.BigEndian.AppendUint32(h, uint32(len(data)))
	return append(append(h, index...), data...)
}

// file puts the package together, with this signature header.
func (p pieces) file(signatures ...value) []byte {
	b := append(bytes.Clone(p.lead), writeHeader(signatures...)...)
	b = append(b, make([]byte, -len(b)&7)...)
	return append(append(b, p.header...), p.payload...)
}

// flipped is b with one bit another.
func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

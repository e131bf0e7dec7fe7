package repodata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// OpenPGP's numbers of packets and algorithms.
const (
	packetSignature = 2
	packetPublicKey = 6
	packetSubkey    = 14
	hashMD5         = 1
)

// errUnsupported is a signature of a kind that nobody here can check.
var errUnsupported = errors.New("a signature of an unknown kind")

// signature is one OpenPGP signature while the bytes that it is of are hashed.
type signature struct {
	packet *packet.Signature
	key    *packet.PublicKey // nil: it is not known
	hash   hash.Hash         // to be given the signed bytes
}

// issuer is who says to have signed, for people.
func (s *signature) issuer() string {
	if s.packet.IssuerKeyId == nil {
		return "a key that it does not name"
	}
	return fmt.Sprintf("key %016X", *s.packet.IssuerKeyId)
}

// verify is the verdict, once all signed bytes have been hashed; key is not nil.
func (s *signature) verify() error {
	if err := s.key.VerifySignature(s.hash, s.packet); err != nil {
		return fmt.Errorf("%w: by %s: %v", ErrBadSignature, s.issuer(), err)
	}
	return nil
}

// parsed is a signature, or why it can't be checked.
type parsed struct {
	*signature
	err error // errUnsupported or one that wraps ErrBadSignature
}

// parseSignatures reads the signature packets that b consists of, at most
// maxSignatures, all of one type. The error wraps ErrBadSignature.
func parseSignatures(b []byte, typ packet.SignatureType) ([]parsed, error) {
	r := packet.NewOpaqueReader(bytes.NewReader(b))
	var list []parsed
	for {
		p, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it can't be read: %v", ErrBadSignature, err)
		}
		if p.Tag != packetSignature || len(list) == maxSignatures {
			return nil, fmt.Errorf("%w: something else than a signature in its place", ErrBadSignature)
		}
		s, err := newSignature(p, typ)
		list = append(list, parsed{s, err})
	}
}

// newSignature is the signature that p's body is, of that type: over bytes as they
// are, or over a text.
func newSignature(p *packet.OpaquePacket, typ packet.SignatureType) (*signature, error) {
	body, old := p.Contents, len(p.Contents) > 0 && p.Contents[0] <= 3
	var suffix []byte
	if old {
		if body, suffix = fromV3(body); body == nil {
			return nil, fmt.Errorf("%w: it is damaged", ErrBadSignature)
		}
	}
	if len(body) > 3 && body[3] == hashMD5 {
		return nil, fmt.Errorf("%w: over an MD5 digest, which proves nothing", ErrBadSignature)
	}
	read, err := (&packet.OpaquePacket{Tag: packetSignature, Contents: body}).Parse()
	if unsupported := pgperrors.UnsupportedError(""); errors.As(err, &unsupported) {
		return nil, fmt.Errorf("%w: %v", errUnsupported, err)
	}
	sig, ok := read.(*packet.Signature)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: it can't be read: %v", ErrBadSignature, err)
	}
	if sig.SigType != typ {
		return nil, fmt.Errorf("%w: of type %#x, not %#x", ErrBadSignature, int(sig.SigType), int(typ))
	}
	if old {
		sig.HashSuffix = suffix
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errUnsupported, err)
	}
	return &signature{packet: sig, hash: h}, nil
}

// fromV3 writes the body of a version 3 signature packet, which packages of
// Enterprise Linux up to 7 have and the library does not read, as one of
// version 4. They differ in where time and key stand, and in what is hashed
// behind the signed bytes: suffix. The arithmetic is the same. It is nil where
// the packet is damaged or older.
func fromV3(b []byte) (v4, suffix []byte) {
	const (
		hashed = 5  // version, length, type, time: type and time are hashed
		fixed  = 19 // all but the signature's numbers
	)
	if len(b) < fixed || b[0] != 3 || b[1] != hashed {
		return nil, nil
	}
	typ, created, key, algorithms, rest := b[2], b[3:7], b[7:15], b[15:17], b[17:]
	v4 = []byte{4, typ, algorithms[0], algorithms[1]}
	v4 = binary.BigEndian.AppendUint16(v4, 6) // hashed subpackets: the time
	v4 = append(append(v4, 5, 2), created...)
	v4 = binary.BigEndian.AppendUint16(v4, 10) // others: the key's number
	v4 = append(append(v4, 9, 16), key...)
	return append(v4, rest...), b[2:7]
}

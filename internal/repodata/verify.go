package repodata

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Why a signature check fails. Of several reasons the worst is given: bad, then
// unknown, then unsigned.
var (
	// ErrUnsigned: nobody has signed the bytes, or not all of them.
	ErrUnsigned = errors.New("no signature")
	// ErrUnknownKey: it is signed, and by none of the keys.
	ErrUnknownKey = errors.New("signed by a key that is not among the known ones")
	// ErrBadSignature: a signature by one of the keys, or a digest that one
	// covers or that stands beside it, does not fit the bytes; or a signature is
	// damaged, or over MD5.
	ErrBadSignature = errors.New("bad signature")
)

// maxDetached bounds a detached signature, in bytes.
const maxDetached = 256 << 10

// CheckPackage reports why the RPM package file r of size bytes is not good:
// nil says that a key of k has signed its main header, and that all behind that
// is covered too, by a signature of the whole or by a payload digest in the
// signed header. A package whose header alone is signed, and whose payload
// nothing covers, is unsigned (ErrUnsigned).
//
// Signatures by unknown keys, or of unknown kinds, do no harm beside a good
// one; a bad one does. The digests in the signature header have to fit as well,
// since rpm looks at them.
//
// Errors: ErrUnsigned, ErrUnknownKey, ErrBadSignature, ErrNoRPM, or that r can't
// be read. It reads the file once at most, and only the headers of one that is
// not signed by a known key.
func (k *Keyring) CheckPackage(r io.ReaderAt, size int64) error {
	f, err := readRPM(r, size)
	if err != nil {
		return err
	}
	header, err := k.testimony(f.headerSigs, packet.SigTypeBinary)
	if err != nil {
		return err
	}
	whole, err := k.testimony(f.wholeSigs, packet.SigTypeBinary)
	switch {
	case err != nil:
		return err
	case len(header.signed)+len(whole.signed) > 0:
	case header.unknown != nil:
		return header.unknown
	case whole.unknown != nil:
		return whole.unknown
	default:
		return ErrUnsigned
	}
	header.add("the header's SHA-1", sha1.New(), f.headerSHA1)
	header.add("the header's SHA-256", sha256.New(), f.headerSHA256)
	whole.add("the MD5 of header and payload", md5.New(), f.wholeMD5)
	if err := hashed(f.header, header, whole); err != nil {
		return err
	}
	if err := header.verdict(); err != nil {
		return err
	}
	payload := &testimony{}
	if h := newHash(f.payloadSumType); h != nil {
		payload.add("the payload's digest in the signed header", h, f.payloadSums...)
	}
	if err := hashed(f.payload, whole, payload); err != nil {
		return err
	}
	if err := errors.Join(whole.verdict(), payload.verdict()); err != nil {
		return err
	}
	switch {
	case len(whole.signed)+len(payload.sums) > 0:
		return nil
	case whole.unknown != nil:
		return fmt.Errorf("the payload: %w", whole.unknown)
	}
	return fmt.Errorf("%w of the payload: the header alone is signed", ErrUnsigned)
}

// CheckDetached reports why signature, armored or binary, of one signature or
// several, does not show that a key of k has signed these bytes. As with a
// package a bad signature spoils a good one, an unknown one does not. Errors:
// ErrUnsigned (there is none), ErrUnknownKey, ErrBadSignature.
func (k *Keyring) CheckDetached(signed, signature []byte) error {
	if len(signature) > maxDetached {
		return fmt.Errorf("%w: of %d bytes", ErrBadSignature, len(signature))
	}
	if len(bytes.TrimSpace(signature)) == 0 {
		return ErrUnsigned
	}
	blocks, err := dearmor(signature, armorSigned)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	return k.checkSigned(signed, blocks, packet.SigTypeBinary)
}

// CheckInline reports why a document that carries its signature, as an InRelease
// does, has none by a key of k. What holds of several signatures, and the errors,
// are CheckDetached's; a document without a signature, or with anything around
// its signed text, is ErrUnsigned.
func (k *Keyring) CheckInline(doc []byte) error {
	if len(doc) > maxRelease {
		return fmt.Errorf("%w: of a document of %d bytes", ErrBadSignature, len(doc))
	}
	block, err := signedText(doc)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	packets, err := io.ReadAll(io.LimitReader(block.ArmoredSignature.Body, maxDetached+1))
	if err != nil || len(packets) > maxDetached {
		return fmt.Errorf("%w: %d bytes of it: %v", ErrBadSignature, len(packets), err)
	}
	return k.checkSigned(block.Bytes, [][]byte{packets}, packet.SigTypeText)
}

// checkSigned reports why none of the signatures in packets, of one type, shows
// that a key of k has signed these bytes.
func (k *Keyring) checkSigned(signed []byte, packets [][]byte, typ packet.SignatureType) error {
	t, err := k.testimony(packets, typ)
	if err != nil {
		return err
	}
	if len(t.signed) == 0 {
		if t.unknown != nil {
			return t.unknown
		}
		return ErrUnsigned
	}
	if err := hashed(bytes.NewReader(signed), t); err != nil {
		return err
	}
	return t.verdict()
}

// testimony is what says something of one range of bytes.
type testimony struct {
	signed  []*signature // by keys that are known
	unknown error        // of one by another key or of another kind; wraps ErrUnknownKey
	sums    []sum
}

// sum is a digest that the bytes should have.
type sum struct {
	what string
	hash hash.Hash
	want [][]byte // any of them will do
}

// testimony is the signatures in packets, which have to be of one type. The error
// wraps ErrBadSignature.
func (k *Keyring) testimony(packets [][]byte, typ packet.SignatureType) (*testimony, error) {
	t := &testimony{}
	for _, b := range packets {
		list, err := parseSignatures(b, typ)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			switch {
			case errors.Is(p.err, errUnsupported):
				t.unknown = fmt.Errorf("%w: %w", ErrUnknownKey, p.err)
				continue
			case p.err != nil:
				return nil, p.err
			}
			if k.resolve(p.signature); p.key == nil {
				t.unknown = fmt.Errorf("%w: %s", ErrUnknownKey, p.issuer())
				continue
			}
			t.signed = append(t.signed, p.signature)
		}
	}
	return t, nil
}

// add adds a digest, if there is one.
func (t *testimony) add(what string, h hash.Hash, want ...[]byte) {
	if len(want) > 0 && want[0] != nil {
		t.sums = append(t.sums, sum{what, h, want})
	}
}

// hashed gives the bytes of r to all that needs them.
func hashed(r io.Reader, all ...*testimony) error {
	var to []io.Writer
	for _, t := range all {
		for _, s := range t.signed {
			to = append(to, s.hash)
		}
		for _, s := range t.sums {
			to = append(to, s.hash)
		}
	}
	if len(to) == 0 {
		return nil
	}
	_, err := io.Copy(io.MultiWriter(to...), r)
	return err
}

// verdict is what is bad, once all bytes have been hashed.
func (t *testimony) verdict() error {
	for _, s := range t.sums {
		got := s.hash.Sum(nil)
		if !slices.ContainsFunc(s.want, func(want []byte) bool { return bytes.Equal(got, want) }) {
			return fmt.Errorf("%w: %s is not that of the bytes", ErrBadSignature, s.what)
		}
	}
	for _, s := range t.signed {
		if err := s.verify(); err != nil {
			return err
		}
	}
	return nil
}

// newHash is the hash that has this number in OpenPGP, nil where it is no good
// one for a payload. rpm takes SHA-256 where none is named.
func newHash(number uint32) hash.Hash {
	switch number {
	case 0, 8:
		return sha256.New()
	case 9:
		return sha512.New384()
	case 10:
		return sha512.New()
	case 11:
		return sha256.New224()
	}
	return nil
}

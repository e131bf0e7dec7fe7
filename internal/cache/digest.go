package cache

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// Digest is a digest with its algorithm, as "sha256:" and lower-case
// hexadecimal. The zero value is no digest.
type Digest string

// NewDigest makes a Digest of what a repository's metadata calls typ (md5 is
// refused, `sha` is SHA-1) and its value in hexadecimal.
func NewDigest(typ, sum string) (Digest, error) {
	typ, sum = strings.ToLower(typ), strings.ToLower(sum)
	if typ == "sha" {
		typ = "sha1"
	}
	size := sizes[typ]
	if size == 0 {
		return "", fmt.Errorf("checksum type %q: none of sha1, sha224, sha256, sha384, sha512", typ)
	}
	if len(sum) != 2*size || strings.Trim(sum, "0123456789abcdef") != "" {
		return "", fmt.Errorf("checksum %q is no %s in hexadecimal", sum, typ)
	}
	return Digest(typ + ":" + sum), nil
}

// sizes is the size of each kind of digest, in bytes.
var sizes = map[string]int{"sha1": sha1.Size, "sha224": sha256.Size224, "sha256": sha256.Size, "sha384": sha512.Size384, "sha512": sha512.Size}

// Valid reports whether d is as NewDigest makes it.
func (d Digest) Valid() bool {
	again, err := NewDigest(d.Type(), d.Hex())
	return err == nil && again == d
}

// SHA256 is the Digest of a SHA-256 sum.
func SHA256(sum []byte) Digest { return Digest("sha256:" + hex.EncodeToString(sum)) }

// New is a fresh hash of the digest's algorithm, nil where d has none that is known.
func (d Digest) New() hash.Hash {
	switch d.Type() {
	case "sha1":
		return sha1.New()
	case "sha224":
		return sha256.New224()
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// Hex is the digest's value without its algorithm.
func (d Digest) Hex() string {
	_, sum, _ := strings.Cut(string(d), ":")
	return sum
}

// Want is what current, verified metadata promises of a file. The zero Want
// promises nothing.
type Want struct {
	Digest Digest
	Size   int64 // bytes; only with Digest
}

// Known reports whether anything is promised.
func (w Want) Known() bool { return w.Digest != "" }

// Type is the digest's algorithm: "sha256".
func (d Digest) Type() string {
	typ, _, _ := strings.Cut(string(d), ":")
	return typ
}

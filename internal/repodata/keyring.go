package repodata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxKeys bounds a file of keys, in bytes. A distribution's has some KB.
const maxKeys = 4 << 20

const (
	armorBegin  = "-----BEGIN PGP "
	armorKeys   = "PUBLIC KEY BLOCK"
	armorSigned = "SIGNATURE"
)

// Keyring is the public keys whose signatures are good. The zero Keyring has
// none. Once all keys are in it, it is safe for concurrent use.
//
// The keys are trusted as they are: whoever wrote the file is the
// administrator. Who certified a key, whether it has expired or was revoked, and
// whether it was bound to its subkeys with a digest that is still good (old ones
// were with SHA-1), is not asked.
type Keyring struct {
	keys map[uint64]*packet.PublicKey // by key ID
}

// Add adds the keys and subkeys of a file, armored (one block or several) or
// binary. It fails where the file is damaged or has no key that can check a
// signature. Keys of a kind that is not known here, and of version 3, are left
// out as long as there is another.
func (k *Keyring) Add(file []byte) error {
	if len(file) > maxKeys {
		return fmt.Errorf("more than %d bytes; are these keys?", maxKeys)
	}
	blocks, err := dearmor(file, armorKeys)
	if err != nil {
		return err
	}
	added := 0
	var odd error
	for _, b := range blocks {
		n, err := k.addBlock(b, &odd)
		if err != nil {
			return err
		}
		added += n
	}
	switch {
	case added > 0:
		return nil
	case odd != nil:
		return fmt.Errorf("no public key that can be used: %w", odd)
	}
	return errors.New("no public key")
}

// addBlock adds the keys among packets, and returns their number. Why one was
// left out goes to odd.
func (k *Keyring) addBlock(packets []byte, odd *error) (int, error) {
	added := 0
	r := packet.NewOpaqueReader(bytes.NewReader(packets))
	for {
		p, err := r.Next()
		if err == io.EOF {
			return added, nil
		}
		if err != nil {
			return added, fmt.Errorf("damaged, or no OpenPGP keys: %w", err)
		}
		if p.Tag != packetPublicKey && p.Tag != packetSubkey {
			continue
		}
		read, err := p.Parse()
		if err != nil {
			*odd = err
			continue
		}
		if key := read.(*packet.PublicKey); key.CanSign() {
			if err := k.insert(key); err != nil {
				return added, err
			}
			added++
		}
	}
}

func (k *Keyring) insert(key *packet.PublicKey) error {
	if was := k.keys[key.KeyId]; was != nil && !bytes.Equal(was.Fingerprint, key.Fingerprint) {
		return fmt.Errorf("two keys of one number, %016X: nobody has that by chance", key.KeyId)
	}
	if k.keys == nil {
		k.keys = make(map[uint64]*packet.PublicKey)
	}
	k.keys[key.KeyId] = key
	return nil
}

// ID names this set of keys: 16 hexadecimal digits, the same for the same keys
// in whatever files and order.
func (k *Keyring) ID() string {
	var prints []string
	for _, key := range k.keys {
		prints = append(prints, hex.EncodeToString(key.Fingerprint))
	}
	slices.Sort(prints)
	sum := sha256.Sum256([]byte(strings.Join(prints, "\n")))
	return hex.EncodeToString(sum[:8])
}

// resolve finds the key that s says to be by.
func (k *Keyring) resolve(s *signature) {
	if s.packet.IssuerKeyId == nil {
		return
	}
	if key := k.keys[*s.packet.IssuerKeyId]; key != nil && s.packet.CheckKeyIdOrFingerprint(key) {
		s.key = key
	}
}

// dearmor is the bytes of the blocks of that type in b or, where b is not
// armored, b itself.
func dearmor(b []byte, typ string) ([][]byte, error) {
	var blocks [][]byte
	for rest := b; ; {
		i := bytes.Index(rest, []byte(armorBegin+typ))
		if i < 0 {
			break
		}
		rest = rest[i:]
		block, err := armor.Decode(bytes.NewReader(rest))
		if err != nil {
			return nil, fmt.Errorf("damaged armor: %w", err)
		}
		raw, err := io.ReadAll(block.Body)
		if err != nil {
			return nil, fmt.Errorf("damaged armor: %w", err)
		}
		blocks = append(blocks, raw)
		rest = rest[len(armorBegin):]
	}
	switch {
	case blocks != nil:
		return blocks, nil
	case bytes.Contains(b, []byte("-----BEGIN ")):
		return nil, fmt.Errorf("armored, but no %q", armorBegin+typ)
	}
	return [][]byte{b}, nil
}

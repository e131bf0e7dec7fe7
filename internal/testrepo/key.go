package testrepo

import (
	"bytes"
	"crypto"
	"errors"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key is an OpenPGP key, Ed25519, as a distribution signs with: apt, dnf, rpm and zypper
// take it. It is safe for concurrent use.
type Key struct {
	// Public is the public key, armored.
	Public []byte

	signer *openpgp.Entity
	config *packet.Config
}

// NewKey makes a key.
func NewKey() (*Key, error) {
	k := &Key{config: &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256}}
	var err error
	if k.signer, err = openpgp.NewEntity("A distribution", "", "keys@example.org", k.config); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(k.signer.Serialize(w), w.Close())
	}
	k.Public = append(b.Bytes(), '\n')
	return k, err
}

// Inline is text with its signature around it, as an InRelease is.
func (k *Key) Inline(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, k.signer.PrivateKey, k.config)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close())
	return append(b.Bytes(), '\n'), err
}

// Detached is the armored signature of data, as a Release.gpg or a repomd.xml.asc is.
func (k *Key) Detached(data []byte) ([]byte, error) {
	var b bytes.Buffer
	err := openpgp.ArmoredDetachSign(&b, k.signer, bytes.NewReader(data), k.config)
	return b.Bytes(), err
}

// Binary is the signature of data as a package has it in its header.
func (k *Key) Binary(data []byte) ([]byte, error) {
	var b bytes.Buffer
	err := openpgp.DetachSign(&b, k.signer, bytes.NewReader(data), k.config)
	return b.Bytes(), err
}

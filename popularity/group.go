package popularity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// A group is several machines, each with logs of its own, that make one ranking of
// them all. Each of them writes down what its database has (Export), and takes in
// what the others have written (Import).
//
// Of an open day that is each client's requests. They are a set, and what two
// databases have is put together as what two logs have: whatever is taken in, how
// often and in whatever order, the sets come out the same, and so does the ranking.
// A client is one and the same in all databases since its hash is made of the
// group's secret, of the day and of its address; nobody without the secret can
// find out an address, and nobody at all that the clients of two days are one.
//
// Of a closed day there are numbers alone, and nothing tells how many clients two
// machines' numbers have in common. They are therefore never added up: they are
// taken in for a day of which nothing is known here, which is how a new machine
// comes by the past. And a day stays open until all members that have been heard of
// lately were heard of after it was over for keepClients (closeDays), so that its
// sets come together before they are numbers. A member that comes later than that
// is told so (Imported.Late): its clients of that day do not count, which is
// better than to count twice.
type group struct{ secret []byte }

// newGroup is the group that shares a secret; nil where there is none.
func newGroup(secret []byte) *group {
	if len(secret) == 0 {
		return nil
	}
	return &group{secret}
}

// derive makes a key for one purpose of the secret.
func (g *group) derive(purpose string) hash.Hash {
	h := hmac.New(sha256.New, g.secret)
	h.Write([]byte("intelligentmirror " + purpose + "\n"))
	return h
}

// name tells secrets apart without telling any of them; "" is of no group.
func (g *group) name() string {
	if g == nil {
		return ""
	}
	return hex.EncodeToString(g.derive("name").Sum(nil)[:8])
}

// salt is what addresses are hashed with in memory, in place of a database's own.
func (g *group) salt() []byte { return g.derive("salt").Sum(nil)[:16] }

// client is the hash of a client on a day, of its hash in memory.
func (g *group) client(inMemory uint64, day int64) uint64 {
	h := g.derive("client")
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(day))
	binary.BigEndian.PutUint64(b[8:], inMemory)
	h.Write(b[:])
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// seal is what proves that counts were written by who has the secret.
func (g *group) seal() hash.Hash { return g.derive("counts") }

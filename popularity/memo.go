package popularity

import "hash/maphash"

// memoKey stands for a string. With 128 bits and a seed that nobody knows, two
// strings that have the same do not happen.
type memoKey [2]uint64

// memoSeeds are what makes the keys of one Ingest.
type memoSeeds [2]maphash.Seed

func newMemoSeeds() memoSeeds { return memoSeeds{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s *memoSeeds) key(b []byte) memoKey {
	return memoKey{maphash.Bytes(s[0], b), maphash.Bytes(s[1], b)}
}

// memo is a hash table from strings to numbers that keeps keys in place of the
// strings: a log has each of them thousands of times, and what is looked up for
// each line has to stay in the processor's caches. The zero memo is empty.
type memo struct {
	slots []memoSlot // a power of two of them, at most half of them in use
	used  int
}

type memoSlot struct {
	key  memoKey
	next uint64 // the value and one; 0: not in use
}

func (m *memo) get(k memoKey) (value uint64, ok bool) {
	if len(m.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(m.slots) - 1)
	for i := k[0] & mask; ; i = (i + 1) & mask {
		s := &m.slots[i]
		if s.next == 0 {
			return 0, false
		}
		if s.key == k {
			return s.next - 1, true
		}
	}
}

// put adds a key that is not there. The value is less than the largest number.
func (m *memo) put(k memoKey, value uint64) {
	if 2*m.used >= len(m.slots) {
		old := m.slots
		m.slots = make([]memoSlot, max(1024, 2*len(old)))
		for _, s := range old {
			if s.next != 0 {
				m.place(s)
			}
		}
	}
	m.used++
	m.place(memoSlot{k, value + 1})
}

func (m *memo) place(s memoSlot) {
	mask := uint64(len(m.slots) - 1)
	i := s.key[0] & mask
	for m.slots[i].next != 0 {
		i = (i + 1) & mask
	}
	m.slots[i] = s
}

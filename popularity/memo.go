package popularity

import (
	"hash/maphash"
	"sync/atomic"
)

// memoKey stands for a string. With 96 bits and seeds that nobody knows, two
// strings that have the same do not happen.
type memoKey struct {
	high uint64
	low  uint32
}

// memoSeeds are what makes the keys of one Ingest.
type memoSeeds [2]maphash.Seed

func newMemoSeeds() memoSeeds { return memoSeeds{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s *memoSeeds) key(b []byte) memoKey {
	return memoKey{maphash.Bytes(s[0], b), uint32(maphash.Bytes(s[1], b))}
}

// memory is what is remembered of the targets and clients of lines: for a target
// its packed verdict, for a client in any spelling its index in batch.clients. One
// batch adds to it, while the parsers look up what they meet.
type memory struct {
	seeds              memoSeeds
	targets, addresses memo
	paths              memo // with their repository, where no target is called so; indices in batch.paths
}

// memo is a hash table from strings to numbers that keeps keys in place of the
// strings: a log has each of them thousands of times, and what is looked up for
// each line has to stay in the processor's caches. One goroutine may put while
// others get; they may miss what was put just now. The zero memo is empty.
type memo struct {
	slots atomic.Pointer[[]memoSlot] // a power of two of them, at most half of them in use
	used  int
}

// memoSlot is in use from when its next is set, and does not change after that.
type memoSlot struct {
	memoKey
	next uint32 // the value and one; 0: not in use
}

func (m *memo) get(k memoKey) (value uint32, ok bool) {
	p := m.slots.Load()
	if p == nil {
		return 0, false
	}
	slots := *p
	mask := uint64(len(slots) - 1)
	for i := k.high & mask; ; i = (i + 1) & mask {
		s := &slots[i]
		next := atomic.LoadUint32(&s.next)
		if next == 0 {
			return 0, false
		}
		if s.memoKey == k {
			return next - 1, true
		}
	}
}

// touch brings what get will look at into the processor's cache.
func (m *memo) touch(k memoKey) {
	if p := m.slots.Load(); p != nil {
		atomic.LoadUint32(&(*p)[k.high&uint64(len(*p)-1)].next)
	}
}

// put adds a key that is not there. The value is less than the largest number.
func (m *memo) put(k memoKey, value uint32) {
	p := m.slots.Load()
	if p == nil || 2*m.used >= len(*p) {
		larger := make([]memoSlot, 1024)
		if p != nil {
			larger = make([]memoSlot, growth(len(*p))*len(*p))
			for i := range *p {
				if s := &(*p)[i]; s.next != 0 {
					occupy(larger, s.memoKey, s.next)
				}
			}
		}
		m.slots.Store(&larger)
		p = &larger
	}
	m.used++
	occupy(*p, k, value+1)
}

// growth is how many times as many slots follow on these: what is small grows fast,
// since each time all that is there is put anew.
func growth(slots int) int {
	if slots <= 64<<10 {
		return 4
	}
	return 2
}

// occupy puts a key into the first slot that is free for it.
func occupy(slots []memoSlot, k memoKey, next uint32) {
	mask := uint64(len(slots) - 1)
	i := k.high & mask
	for slots[i].next != 0 {
		i = (i + 1) & mask
	}
	slots[i].memoKey = k
	atomic.StoreUint32(&slots[i].next, next)
}

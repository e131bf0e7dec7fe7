package popularity

import (
	"fmt"
	"sync"
	"testing"
)

// What is put is found, by others too while more is put; what was not is not.
func TestMemo(t *testing.T) {
	const n = 5000
	seeds := newMemoSeeds()
	key := func(i int) memoKey { return seeds.key(fmt.Append(nil, "target ", i)) }
	var m memo
	m.touch(key(0))
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for found := 0; found < n; {
				if v, ok := m.get(key(found)); ok {
					if v != uint32(found) {
						t.Errorf("%d is %d", found, v)
						return
					}
					found++
				}
				if _, ok := m.get(key(-1 - found)); ok {
					t.Errorf("%d is there", -1-found)
					return
				}
				m.touch(key(found))
			}
		})
	}
	for i := range n {
		m.put(key(i), uint32(i))
		if v, ok := m.get(key(i)); !ok || v != uint32(i) {
			t.Fatalf("%d: %d, %v", i, v, ok)
		}
	}
	readers.Wait()
}

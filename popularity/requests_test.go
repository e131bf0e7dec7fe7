package popularity

import "testing"

// A day's records come in their order, and the memory of one day is that of the next.
func TestDayRequests(t *testing.T) {
	const n = 3*chunk + 1
	free := make(chunkPool, 3) // one less than there will be
	first := dayRequests{day: 1}
	if r := first.last(); r != nil {
		t.Fatalf("the last of nothing is %+v", *r)
	}
	for i := range n {
		first.add(newRecord(uint32(i), 7, int64(i), 1), free)
		first.last().merge(0, int64(i))
		if r := first.last(); r.client != uint32(i) || r.path != 7 || r.second() != int64(i) || r.bytes() != int64(max(1, i)) {
			t.Fatalf("record %d is %+v", i, *r)
		}
	}
	i := 0
	for _, c := range first.records {
		for _, r := range c {
			if r.client != uint32(i) {
				t.Fatalf("record %d is that of client %d", i, r.client)
			}
			i++
		}
	}
	if i != n {
		t.Errorf("%d records", i)
	}
	first.release(free)
	if len(free) != 3 || first.records != nil {
		t.Errorf("%d chunks are free", len(free))
	}
	next := dayRequests{day: 2}
	next.add(newRecord(1, 2, 3, 4), free)
	if c := cap(next.records[0]); len(free) != 3 || c == chunk {
		t.Errorf("for one record: room for %d, and %d chunks are free", c, len(free))
	}
	for range chunk {
		next.add(newRecord(1, 2, 3, 4), free)
	}
	if len(free) != 2 || len(next.records) != 2 || len(next.records[1]) != 1 {
		t.Errorf("%d chunks are free, %d are used", len(free), len(next.records))
	}
}

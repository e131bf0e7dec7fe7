package popularity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
)

// known is a log as far as it was read. A file is this log, whatever it is
// called, if it begins with the head and has the tail right before the offset.
// A log that is shorter than the window is known by all of it: two logs that
// begin alike may then both be known by it, but what they are spared is what
// was counted already.
type known struct {
	id         int64 // 0: not in the database yet
	headLength int64
	head       fingerprint
	readTo     int64
	tailLength int64
	tail       fingerprint
}

// fingerprint is the beginning of a SHA-256.
type fingerprint [16]byte

func fingerprintOf(b []byte) (f fingerprint) {
	sum := sha256.Sum256(b)
	copy(f[:], sum[:])
	return f
}

// knowns are the logs that are known, and what was learnt of them in this run.
//
// A log that went on is a new known beside the old one: another file, a copy
// that was made in between, may still end at the old one, whether it is among
// this run's logs or not.
type knowns struct {
	list    []*known
	ended   map[int64]bool // ids that a file of this run ends at
	unmoved map[stamp]int64
}

// forgetAfter is how long a known is kept after a file last ended at it, in
// seconds: archives may be away and come back, but not for ever.
const forgetAfter = 400 * secondsPerDay

func (s *Store) loadKnowns(ctx context.Context) (*knowns, error) {
	k := &knowns{ended: map[int64]bool{}, unmoved: map[stamp]int64{}}
	rows, err := s.db.QueryContext(ctx, "SELECT id, head_length, head, read_to, tail_length, tail FROM logs")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var l known
		var head, tail []byte
		if err := rows.Scan(&l.id, &l.headLength, &head, &l.readTo, &l.tailLength, &tail); err != nil {
			return nil, err
		}
		copy(l.head[:], head)
		copy(l.tail[:], tail)
		k.list = append(k.list, &l)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows, err = s.db.QueryContext(ctx, "SELECT device, inode, size, modified, changed, log FROM unchanged")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var st stamp
		var id int64
		if err := rows.Scan(&st.device, &st.inode, &st.size, &st.modified, &st.changed, &id); err != nil {
			return nil, err
		}
		k.unmoved[st] = id
	}
	return k, rows.Err()
}

// find looks for the known log that src is and that was read furthest, and
// leaves src right behind what was read of it, with tail being what stands
// before that. A nil known is a new log, and src is at its beginning.
func (k *knowns) find(src *source, head []byte) (l *known, tail []byte, err error) {
	var maybe []*known
	heads := map[int64]fingerprint{}
	for _, l := range k.list {
		if l.headLength > int64(len(head)) {
			continue
		}
		f, ok := heads[l.headLength]
		if !ok {
			f = fingerprintOf(head[:l.headLength])
			heads[l.headLength] = f
		}
		if f == l.head {
			maybe = append(maybe, l)
		}
	}
	slices.SortFunc(maybe, func(a, b *known) int { return cmp.Compare(b.readTo, a.readTo) })
	for _, l := range maybe {
		tail, err := src.readBefore(l.readTo, l.tailLength)
		if err == nil && fingerprintOf(tail) == l.tail {
			return l, tail, nil
		}
		// Too short, or damaged before that: not this one. An error that
		// matters shows again when it is read.
	}
	return nil, nil, src.rewind()
}

// here is the known for a log that begins with head and was read as far as off,
// before which stands tail.
func here(head []byte, off int64, tail []byte) known {
	head = head[:min(int64(len(head)), off)]
	return known{
		headLength: int64(len(head)), head: fingerprintOf(head),
		readTo: off, tailLength: int64(len(tail)), tail: fingerprintOf(tail),
	}
}

// settle notes which knowns were seen, and forgets those that no file was known
// by for long.
func (s *Store) settle(ctx context.Context, k *knowns) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	now := s.opt.Clock().Unix()
	for id := range k.ended {
		if _, err := tx.ExecContext(ctx, "UPDATE logs SET seen = ? WHERE id = ?", now, id); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM logs WHERE seen < ?", now-forgetAfter); err != nil {
		return err
	}
	return tx.Commit()
}

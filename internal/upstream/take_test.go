package upstream

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// arrival is bytes of a body, and when they come after what came before.
type arrival struct {
	after time.Duration
	bytes int
}

// arriving is a body that comes in parts. After the last one comes its end, or err.
type arriving struct {
	parts []arrival
	err   error
}

func (a *arriving) Read(b []byte) (int, error) {
	if len(a.parts) == 0 {
		return 0, a.err
	}
	part := &a.parts[0]
	time.Sleep(part.after)
	part.after = 0
	n := min(len(b), part.bytes)
	if part.bytes -= n; part.bytes == 0 {
		a.parts = a.parts[1:]
	}
	return n, nil
}

// written is one write.
type written struct {
	at    time.Duration // since the beginning
	bytes int
}

// writes remembers its writes, and fails after some.
type writes struct {
	begin time.Time
	list  []written
	most  int
}

func (w *writes) Write(b []byte) (int, error) {
	if w.most > 0 && len(w.list) == w.most {
		return 0, syscall.ENOSPC
	}
	w.list = append(w.list, written{time.Since(w.begin), len(b)})
	return len(b), nil
}

// TestTake: when the bytes of a body are written.
func TestTake(t *testing.T) {
	const ms = time.Millisecond
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		size int // of a piece
		in   int // bytes of it that are there
		body arriving
		most int // writes that do not fail
		want []written
		err  error
	}{
		{"the first bytes at once", 100, 0, arriving{[]arrival{{0, 10}, {50 * ms, 5}}, io.EOF}, 0,
			[]written{{0, 10}, {50 * ms, 5}}, nil},
		{"what follows with its piece", 100, 0, arriving{[]arrival{{0, 10}, {ms, 30}, {ms, 70}, {ms, 90}}, io.EOF}, 0,
			[]written{{0, 10}, {2 * ms, 90}, {3 * ms, 100}}, nil},
		{"or after a while, counted from its first byte", 100, 0,
			arriving{[]arrival{{0, 10}, {ms, 20}, {15 * ms, 20}, {15 * ms, 20}, {500 * ms, 20}}, io.EOF}, 0,
			[]written{{0, 10}, {ms + pieceWait, 40}, {31*ms + pieceWait, 20}, {531 * ms, 20}}, nil},
		{"a piece that had begun ends where it should", 100, 60, arriving{[]arrival{{0, 10}, {0, 150}}, io.EOF}, 0,
			[]written{{0, 10}, {0, 30}, {0, 100}, {0, 20}}, nil},
		{"what came before an error", 100, 0, arriving{[]arrival{{0, 10}, {ms, 20}}, broken}, 0,
			[]written{{0, 10}, {ms, 20}}, broken},
		{"a disk that is full", 100, 0, arriving{[]arrival{{0, 10}, {ms, 99}, {ms, 99}}, io.EOF}, 1,
			[]written{{0, 10}}, syscall.ENOSPC},
		{"a disk that is full when nothing comes", 100, 0, arriving{[]arrival{{0, 10}, {ms, 20}, {time.Hour, 1}, {time.Hour, 1}}, broken}, 1,
			[]written{{0, 10}}, syscall.ENOSPC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writes{begin: time.Now(), most: tt.most}
				err := (&taker{to: w, buf: make([]byte, tt.size), filled: tt.in, written: tt.in}).takeAll(&tt.body)
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v, not %v", err, tt.err)
				}
				time.Sleep(2 * pieceWait) // and nothing after the end
				if !slices.Equal(w.list, tt.want) {
					t.Errorf("written %v, not %v", w.list, tt.want)
				}
			})
		})
	}
}

package database

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// TestOneArena holds that SQLite on many threads at a time has one arena of the C
// library's: of no other, 64 MiB of addresses each, anything is mapped.
func TestOneArena(t *testing.T) {
	const threads = 8
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite3", path+"?_busy_timeout=60000&_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE a (n INTEGER, text TEXT)"); err != nil {
		t.Fatal(err)
	}
	var together, done sync.WaitGroup
	together.Add(threads)
	for i := range threads {
		done.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread is this one's alone, and ends with it
			together.Done()
			together.Wait()
			for range 20 {
				if _, err := db.Exec("INSERT INTO a VALUES (?, ?)", i, strings.Repeat("x", 1000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	heap := uint64(uintptr(unsafe.Pointer(&maps[0])))
	const size = 64 << 20 // HEAP_MAX_SIZE of glibc's malloc/arena.c on 64 bits
	var begun, end uint64 // of what may be in use of one
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		// What an arena has in use, and behind it what it may grow to.
		if mode == "---p" && from == end && to == begun+size {
			t.Errorf("an arena at %x:\n%s", begun, line)
		}
		begun, end = 0, 0
		// Go's heap looks the same, and is in another terabyte.
		if mode == "rw-p" && from%size == 0 && from>>40 != heap>>40 {
			begun, end = from, to
		}
	}
}

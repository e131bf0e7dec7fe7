package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockEnv names a clock's file to programs that jumping has built.
const clockEnv = "SYSTEST_CLOCK"

// clock is the time of day of a site's programs, which is off by what the test says. Only
// that is: intervals are the machine's, as they are where a real clock is set, and so are
// the times that the kernel gives files, as on a disk that is another machine's.
type clock struct {
	name string
	off  *int64 // seconds, in the file of that name
}

// newClock makes a clock that is right.
func newClock(t testing.TB) *clock {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 8
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	})
	return &clock{f.Name(), (*int64)(unsafe.Pointer(&b[0]))}
}

// set lets the time of day be off by d, at once and in all programs that have the clock.
func (c *clock) set(d time.Duration) { atomic.StoreInt64(c.off, int64(d/time.Second)) }

// now is the programs' time of day.
func (c *clock) now() time.Time {
	return time.Now().Add(time.Duration(atomic.LoadInt64(c.off)) * time.Second)
}

// underClock lets the site run programs whose time of day is that of the clock. They
// have the race detector where the tests have it.
func (s *site) underClock(c *clock) *site {
	s.t.Helper()
	dir, err := jumping()
	if err != nil {
		s.t.Fatal(err)
	}
	s.bin = dir
	s.env = append(s.env, clockEnv+"="+c.name)
	return s
}

// jumping is the directory with programs whose time of day is that of the clock in whose
// name they are started. They have a package time of their own, for which all of them is
// compiled anew, and SQLite's C without optimization, which takes longer than all the rest.
var jumping = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(programs, "jumping")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
	b, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	text := string(b)
	for _, edit := range [][2]string{
		{"\nimport (\n", "\nimport (\n\toffatomic \"sync/atomic\"\n\toffsyscall \"syscall\"\n\toffunsafe \"unsafe\"\n"},
		{"\nfunc Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "\nfunc Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += offatomic.LoadInt64(offby)\n"},
	} {
		if strings.Count(text, edit[0]) != 1 {
			return "", fmt.Errorf("%s of %s has not got %q once: write here how its Now begins", original, runtime.Version(), edit[0])
		}
		text = strings.Replace(text, edit[0], edit[1], 1)
	}
	changed, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return "", err
	}
	for name, b := range map[string][]byte{changed: []byte(text + offby), overlay: list} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return "", err
		}
	}
	flags := []string{"-overlay", overlay}
	if raceDetector {
		flags = append(flags, "-race")
	}
	return dir, build(dir, []string{"CGO_CFLAGS=-O0"}, flags...)
})

// offby is what package time has besides in these programs.
const offby = `
// offby is how many seconds the time of day is off.
var offby = func() *int64 {
	name, ok := offsyscall.Getenv("` + clockEnv + `")
	if !ok {
		return new(int64)
	}
	fd, err := offsyscall.Open(name, offsyscall.O_RDONLY|offsyscall.O_CLOEXEC, 0)
	if err != nil {
		panic(name + ": " + err.Error())
	}
	defer offsyscall.Close(fd)
	b, err := offsyscall.Mmap(fd, 0, 8, offsyscall.PROT_READ, offsyscall.MAP_SHARED)
	if err != nil {
		panic(name + ": " + err.Error())
	}
	return (*int64)(offunsafe.Pointer(&b[0]))
}()
`

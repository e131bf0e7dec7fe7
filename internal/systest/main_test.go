package systest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// The directories with imserve and imsync, built from this tree. Those in raced have the
// race detector where the tests have it: they take some times the processor's time, so
// that only tests in which most happens at the same time run them (site.underRace).
var programs, raced string

var allRaced = flag.Bool("raced", false, "run the programs with the race detector in all tests, if the tests have it")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if said := os.Getenv(watchEnv); said != "" {
		fmt.Fprintln(os.Stderr, becomeWatched(said))
		return 1
	}
	dir, err := os.MkdirTemp("", "systest-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	flag.Parse()
	programs, raced = dir, dir
	if raceDetector {
		raced = filepath.Join(dir, "raced")
		err = build(raced, nil, "-race") // as the tests, so that no package is compiled again
	}
	if *allRaced {
		programs = raced
	}
	if programs == dir {
		err = errors.Join(err, build(dir, nil, "-trimpath")) // as all other builds of the programs
	}
	// squid's user, too, starts one of them.
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Tests that may run side by side mostly wait, for clients and for each other's
	// programs. What the command line says goes before.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build builds both programs into a directory, with these variables of the environment,
// and these flags, besides.
func build(dir string, env []string, flags ...string) error {
	args := append(append([]string{"build"}, flags...), "-o", dir+string(filepath.Separator), "intelligentmirror/cmd/...")
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// measured reports whether the memory of sites' programs is their own: the race detector's
// is not.
func measured() bool { return !raceDetector || programs != raced }

// seedOf is what a test draws by: what its flag says, or a seed of its own for 0. A
// failure shows it, so that it can be had again.
func seedOf(t *testing.T, name string, said uint64) uint64 {
	t.Helper()
	if said == 0 {
		said = rand.Uint64()
	}
	t.Logf("-%s %d", name, said)
	return said
}

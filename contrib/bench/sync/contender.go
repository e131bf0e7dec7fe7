package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

// contender is a program that brings the repository, with what was measured of it.
type contender struct {
	name, path string
	// prepare writes what the program needs, in a directory of its own, and returns
	// its arguments. got is where below that directory the packages lie then.
	prepare func(dir string, m *mirror, r *repository) ([]string, error)
	got     string

	samples     []peer.Sample // a round each
	requests    []int
	connections []int
	bytes       []int64
}

const (
	ours   = "imsync once"
	aria2c = "aria2c" // what the others are compared with
)

// contenders are imsync, which is at that path, and those of the named peers that are
// on this machine; it says to w which are not.
func contenders(imsync, names string, parallel int, w io.Writer) ([]*contender, error) {
	all := []*contender{{name: ours, path: imsync, prepare: prepareImsync, got: "cache/bench/os"}}
	wanted := strings.FieldsFunc(names, func(r rune) bool { return r == ',' })
	for _, p := range []*contender{
		{name: aria2c, prepare: func(dir string, m *mirror, r *repository) ([]string, error) {
			return prepareAria2(dir, m, r, parallel)
		}, got: "files"},
		{name: "dnf", prepare: prepareDnf, got: "files/bench"},
	} {
		at := slices.Index(wanted, p.name)
		if at < 0 {
			continue
		}
		wanted = slices.Delete(wanted, at, at+1)
		var err error
		if p.path, err = find(p.name); err != nil {
			fmt.Fprintf(w, "without %s: %v\n", p.name, err)
			continue
		}
		all = append(all, p)
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("%q is none of the peers: aria2c, dnf", wanted[0])
	}
	return all, nil
}

// find is where a peer is. dnf alone can't copy a repository: that is a plug-in's.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil || name != "dnf" {
		return path, err
	}
	if out, err := exec.Command(path, "--releasever=41", "reposync", "--help").CombinedOutput(); err != nil {
		return "", fmt.Errorf("it has no reposync, which is in dnf-plugins-core: %w: %s", err, bytes.TrimSpace(out))
	}
	return path, nil
}

// prepareImsync writes a configuration that wants all that the repository has.
func prepareImsync(dir string, m *mirror, _ *repository) ([]string, error) {
	config := filepath.Join(dir, "config.toml")
	return []string{"once", "--config", config}, os.WriteFile(config, fmt.Appendf(nil, `cache_dir = %q
state_dir = %q
[[repo]]
name = "bench"
upstreams = [%q]
[sync]
roots = ["bench/os"]
packages = ["*"]
budget = "1TB"
logs = []
`, dir+"/cache", dir+"/state", m.URL), 0o600)
}

// prepareAria2 writes the list of all that imsync fetches, metadata included.
func prepareAria2(dir string, m *mirror, r *repository, parallel int) ([]string, error) {
	var list bytes.Buffer
	files := slices.Clone(r.meta)
	for _, f := range r.files {
		files = append(files, f.file)
	}
	for _, f := range files {
		fmt.Fprintf(&list, "%s/os/%s\n  out=%s\n", m.URL, f, f)
	}
	name := filepath.Join(dir, "list")
	return []string{
		"--no-conf", fmt.Sprintf("-j%d", parallel), "-x1", "-i", name, "-d", filepath.Join(dir, "files"),
		"--quiet", "--no-netrc", "--all-proxy=",
	}, os.WriteFile(name, list.Bytes(), 0o600)
}

// prepareDnf gives dnf directories of its own, and no repository of the machine's.
func prepareDnf(dir string, m *mirror, _ *repository) ([]string, error) {
	config := filepath.Join(dir, "dnf.conf")
	return []string{
			"--config=" + config, "--quiet", "--releasever=41", "--forcearch=x86_64", "--disableplugin=local",
			"--repofrompath=bench," + m.URL + "/os", "reposync", "--download-path=" + filepath.Join(dir, "files"),
		}, os.WriteFile(config, fmt.Appendf(nil, `[main]
reposdir=%[1]s/none
varsdir=%[1]s/none
cachedir=%[1]s/cache
persistdir=%[1]s/persist
logdir=%[1]s
gpgcheck=0
proxy=
`, dir), 0o600)
}

// report prints the figures.
func report(w io.Writer, all []*contender) error {
	var base *contender
	for _, c := range all {
		if c.name == aria2c {
			base = c
		}
	}
	t := peer.NewTable("PROGRAM", "WALL S", "TIMES ARIA2C", "CPU S", "PEAK MiB", "REQUESTS", "CONNECTIONS", "MB")
	for _, c := range all {
		f := peer.Figures(c.samples)
		times := "-"
		if base != nil {
			times = fmt.Sprintf("%.2f", ratio(c.samples, base.samples))
		}
		t.Row(c.name, seconds(f.Wall), times, seconds(f.CPU), fmt.Sprintf("%.0f", float64(f.Peak)/(1<<20)),
			peer.Median(c.requests), peer.Median(c.connections), fmt.Sprintf("%.1f", float64(peer.Median(c.bytes))/1e6))
	}
	return errors.Join(t.Print(w), legend(w))
}

func legend(w io.Writer) error {
	_, err := fmt.Fprint(w, `
TIMES ARIA2C  the wall time as a multiple of aria2c's in the same round: the median of the rounds
MB            that left the mirror
`)
	return err
}

// ratio is the median over the rounds of how many times as long as its base one took.
func ratio(samples, base []peer.Sample) float64 {
	var all []float64
	for i, s := range samples {
		all = append(all, s.Wall.Seconds()/base[i].Wall.Seconds())
	}
	return peer.Median(all)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// installed is what dnf did; it is empty where dnf was left out, and why says so.
type installed struct {
	why      string
	packages []string // name-version-release.arch
	took     time.Duration
}

// install lets dnf install mplayer and the kernel into a root of its own, below
// the demonstration's folder.
func (s *stage) install(ctx context.Context, srv *server) (installed, error) {
	path, err := exec.LookPath("dnf")
	switch {
	case s.noDNF:
		return installed{why: "-no-dnf"}, nil
	case err != nil:
		return installed{why: "it is not installed here"}, nil
	case os.Geteuid() != 0:
		return installed{why: "it installs only as root"}, nil
	}
	dir := filepath.Join(s.dir, "machine")
	none := filepath.Join(dir, "none")
	if err := os.MkdirAll(none, 0o755); err != nil {
		return installed{}, err
	}
	began := time.Now()
	// No plugin: Debian's "local" would keep the packages for the whole machine.
	_, err = s.foreign(ctx, path, "--assumeyes", "--noplugins", "--installroot="+filepath.Join(dir, "root"),
		"--releasever=41", "--forcearch=x86_64", "--setopt=reposdir="+none, "--setopt=varsdir="+none,
		"--setopt=cachedir="+filepath.Join(dir, "cache"), "--setopt=gpgcheck=0", "--setopt=install_weak_deps=False", "--setopt=proxy=",
		"--repofrompath=mirror,"+srv.url+"/"+rootName, "install", "mplayer", "kernel")
	if err != nil {
		return installed{}, err
	}
	got := installed{took: time.Since(began)}
	list, err := s.foreign(ctx, "rpm", "--root="+filepath.Join(dir, "root"), "-qa")
	if err != nil {
		return got, err
	}
	got.packages = strings.Fields(list)
	slices.Sort(got.packages)
	return got, nil
}

// foreign runs a program that is not ours, and returns what it printed.
func (s *stage) foreign(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	// Debian's rpm keeps its database below HOME.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, out)
	}
	return string(out), nil
}

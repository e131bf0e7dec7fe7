package testrepo

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dnf runs dnf with the upstream as its only repository, and root as the system
// that it works on. Without --noplugins Debian's dnf keeps every package that it
// installs in /var/lib/dnf/plugins/local, and takes it from there the next time.
func dnf(t *testing.T, up *Server, root string, args ...string) string {
	t.Helper()
	return run(t, Program(t, "dnf"), append([]string{
		"--noplugins", "--assumeyes", "--quiet", "--installroot=" + root, "--releasever=41", "--forcearch=x86_64",
		"--setopt=reposdir=" + t.TempDir(), "--setopt=cachedir=" + t.TempDir(), "--setopt=install_weak_deps=False",
		"--setopt=gpgcheck=0", "--setopt=proxy=", "--repofrompath=campus," + up.URL,
	}, args...)...)
}

// TestDNFInstalls installs mplayer and the kernel from a repository and an
// upstream of ours, and looks into the scratch system afterwards.
func TestDNFInstalls(t *testing.T) {
	rpm := Program(t, "rpm")
	if os.Geteuid() != 0 {
		Lacking(t, "dnf installs only as root")
	}
	specs := Overnight(Small(Campus(2)), 2)
	want := slices.Sorted(maps.Keys(closure(t, specs, "mplayer", "kernel")))
	up := Start(t, build(t, specs, BuildOptions{}))
	root := t.TempDir()
	dnf(t, up, root, "install", "mplayer", "kernel")

	got := strings.Fields(run(t, rpm, "--root="+root, "-qa", "--queryformat", "%{name}\n"))
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	if n := up.Count("GET", "/Packages/*.rpm"); n != len(want) {
		t.Errorf("%d packages were asked for, %d installed: %q", n, len(want), up.Lines("", "*"))
	}
	evr := run(t, rpm, "--root="+root, "-q", "--queryformat", "%{version}-%{release}", "kernel-core")
	if want := "6.11.5-300.fc41"; evr != want {
		t.Errorf("kernel-core is %s, want %s", evr, want)
	}
	run(t, rpm, "--root="+root, "--verify", "--nomtime", "mplayer", "kernel-core")
}

func TestDNFReadsEveryCompression(t *testing.T) {
	specs := awkward()
	for _, o := range []BuildOptions{
		{Compression: Gzip, SimpleNames: true}, {Compression: XZ}, {Compression: Zstd}, {Compression: Plain},
	} {
		t.Run(string(o.Compression), func(t *testing.T) {
			up := Start(t, build(t, specs, o))
			got := strings.Fields(dnf(t, up, t.TempDir(), "repoquery", "--queryformat", "%{name} %{evr} %{arch}", "app*"))
			want := strings.Fields(`app 1.0-1.fc41 x86_64 app-data 2:3.1~rc1-1.fc41 noarch
				app-doc 1.0^20261001git-1.fc41 noarch app-libs 1.0-1.fc41 i686 app-libs 1.0-1.fc41 x86_64`)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

package sync

import (
	"slices"
	"testing"
)

func TestLocate(t *testing.T) {
	for _, tc := range []struct {
		root string
		want place
	}{
		{"fedora/releases/41/Everything/x86_64/os", place{arch: "x86_64", release: "41"}},
		{"fedora/releases/41/Everything/aarch64/os", place{arch: "aarch64", release: "41"}},
		{"fedora/releases/41/Everything/x86_64/debug/tree", place{arch: "x86_64", release: "41"}},
		{"fedora/releases/41/Everything/source/tree", place{arch: "src", release: "41"}},
		{"fedora/releases/38/Modular/x86_64/os", place{arch: "x86_64", release: "38"}},
		{"fedora/updates/41/Everything/x86_64", place{arch: "x86_64", release: "41"}},
		{"fedora/updates/testing/41/Everything/x86_64", place{arch: "x86_64", release: "41", testing: true}},
		{"fedora/development/rawhide/Everything/x86_64/os", place{arch: "x86_64", release: "rawhide"}},
		{"fedora/development/43/Everything/x86_64/os", place{arch: "x86_64", release: "43"}},
		{"epel/9/Everything/x86_64", place{arch: "x86_64", release: "9"}},
		{"epel/10/Everything/x86_64", place{arch: "x86_64", release: "10"}},
		{"epel/10.1/Everything/x86_64", place{arch: "x86_64", release: "10"}},
		{"epel/next/9/Everything/aarch64", place{arch: "aarch64", release: "9"}},
		{"epel/testing/9/Everything/x86_64", place{arch: "x86_64", release: "9", testing: true}},
		{"epel/7/x86_64", place{arch: "x86_64", release: "7"}},
		{"centos-stream/9-stream/BaseOS/x86_64/os", place{arch: "x86_64", release: "9", line: "centos-stream"}},
		{"centos-stream/10-stream/AppStream/aarch64/os", place{arch: "aarch64", release: "10", line: "centos-stream"}},
		{"centos-stream/SIGs/9-stream/extras/x86_64/extras-common", place{arch: "x86_64", release: "9", line: "centos-stream"}},
		{"rocky/9/BaseOS/x86_64/os", place{arch: "x86_64", release: "9", line: "rocky"}},
		{"rocky/9.4/AppStream/x86_64/os", place{arch: "x86_64", release: "9", line: "rocky"}},
		{"rocky/9/BaseOS/source/tree", place{arch: "src", release: "9", line: "rocky"}},
		{"almalinux/9/BaseOS/x86_64/os", place{arch: "x86_64", release: "9", line: "almalinux"}},
		{"almalinux/9.4/CRB/ppc64le/os", place{arch: "ppc64le", release: "9", line: "almalinux"}},
		{"almalinux/10-kitten/BaseOS/x86_64_v2/os", place{arch: "x86_64_v2", release: "10", line: "almalinux"}},
		{"rpmfusion/free/fedora/releases/41/Everything/x86_64/os", place{arch: "x86_64", release: "41"}},
		{"rpmfusion/free/fedora/updates/41/x86_64", place{arch: "x86_64", release: "41"}},
		{"rpmfusion/nonfree/fedora/updates/testing/41/x86_64", place{arch: "x86_64", release: "41", testing: true}},
		{"rpmfusion/nonfree/fedora/development/rawhide/Everything/x86_64/os", place{arch: "x86_64", release: "rawhide"}},
		{"rpmfusion/free/el/updates/9/x86_64", place{arch: "x86_64", release: "9"}},
		{"opensuse/tumbleweed/repo/oss", place{release: "tumbleweed"}},
		{"opensuse/update/tumbleweed", place{release: "tumbleweed"}},
		{"opensuse/ports/aarch64/tumbleweed/repo/oss", place{arch: "aarch64", release: "tumbleweed"}},
		{"opensuse/distribution/leap/15.6/repo/oss", place{release: "15.6"}},
		{"opensuse/update/leap/15.6/sle", place{release: "15.6"}},
		{"opensuse/update/leap/15.6-test", place{release: "15.6", testing: true}},
		{"opensuse/distribution/leap/16.0/repo/oss/x86_64", place{arch: "x86_64", release: "16.0"}},
		{"packman/suse/openSUSE_Tumbleweed/Essentials", place{release: "tumbleweed"}},
		{"packman/suse/openSUSE_Leap_15.6", place{release: "15.6"}},
		{"elrepo/elrepo/el9/x86_64", place{arch: "x86_64", release: "9"}},
		{"postgresql/repos/yum/16/redhat/rhel-9-x86_64", place{arch: "x86_64", release: "9"}},
		{"postgresql/repos/yum/17/fedora/fedora-41-x86_64", place{arch: "x86_64", release: "41"}},
		{"docker/linux/fedora/41/x86_64/stable", place{arch: "x86_64", release: "41"}},
		{"local/f41/i686", place{arch: "i386", release: "41"}},
		{"chrome/linux/chrome/rpm/stable/x86_64", place{arch: "x86_64"}},
		{"vscode", place{}},
		{"local/x86_64/41/notx86_64", place{arch: "x86_64", release: "41"}},
		{"local/notx86_64/41", place{release: "41"}},
		{"site/2024/tools", place{}},
		{"site/20240131", place{}},
		{"", place{}},
	} {
		if got := locate(tc.root); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.root, got, tc.want)
		}
	}
}

func TestGather(t *testing.T) {
	for _, tc := range []struct {
		name  string
		roots []string
		want  [][]int // the roots that are companions, in the order of the groups
	}{
		{name: "none"},
		{
			name: "a release with its updates and what is built for it",
			roots: []string{
				"fedora/releases/41/Everything/x86_64/os", "fedora/updates/41/Everything/x86_64",
				"rpmfusion/free/fedora/releases/41/Everything/x86_64/os", "rpmfusion/free/fedora/updates/41/x86_64",
			},
			want: [][]int{{0, 1, 2, 3}},
		},
		{
			name: "other architectures and releases are apart",
			roots: []string{
				"fedora/releases/41/Everything/x86_64/os", "fedora/updates/41/Everything/aarch64",
				"fedora/updates/42/Everything/x86_64", "fedora/updates/41/Everything/x86_64",
			},
			want: [][]int{{1}, {0, 3}, {2}},
		},
		{
			name: "a major release and its minor ones",
			roots: []string{
				"rocky/9/BaseOS/x86_64/os", "rocky/9.4/AppStream/x86_64/os", "epel/9/Everything/x86_64",
				"rocky/10/BaseOS/x86_64/os", "epel/10.1/Everything/x86_64", "epel/10/Everything/x86_64",
			},
			want: [][]int{{3, 4, 5}, {0, 1, 2}},
		},
		{
			name: "lines of one release do not mix, and share what is beside them",
			roots: []string{
				"epel/9/Everything/x86_64", "rocky/9/BaseOS/x86_64/os",
				"almalinux/9/BaseOS/x86_64/os", "rpmfusion/free/el/updates/9/x86_64",
			},
			want: [][]int{{0, 2, 3}, {0, 1, 3}},
		},
		{
			name:  "what is beside a line that is not there",
			roots: []string{"epel/9/Everything/x86_64", "rpmfusion/free/el/updates/9/x86_64", "epel/testing/9/Everything/x86_64"},
			want:  [][]int{{0, 1, 2}},
		},
		{
			name:  "roots that name neither",
			roots: []string{"site/os", "vscode", "opensuse/tumbleweed/repo/oss", "opensuse/update/tumbleweed", "other"},
			want:  [][]int{{0, 1, 4}, {2, 3}},
		},
		{
			name:  "Leap's minor releases are apart",
			roots: []string{"opensuse/distribution/leap/15.5/repo/oss", "opensuse/distribution/leap/15.6/repo/oss", "opensuse/update/leap/15.6/oss"},
			want:  [][]int{{0}, {1, 2}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var places []place
			for _, r := range tc.roots {
				places = append(places, locate(r))
			}
			groups, in := gather(places)
			got := make([][]int, len(groups))
			for i, set := range in {
				for _, g := range set {
					got[g] = append(got[g], i)
				}
			}
			if !slices.EqualFunc(got, tc.want, slices.Equal[[]int]) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFit(t *testing.T) {
	x86 := &group{place: place{arch: "x86_64"}, archs: []string{"i386", "x86_64"}}
	mixed := &group{archs: []string{"aarch64", "i386", "x86_64"}}
	small := &group{place: place{arch: "i386"}, archs: []string{"i386"}}
	for _, tc := range []struct {
		name       string
		group      *group
		need, have string
		want       int
	}{
		{"its own", x86, "x86_64", "x86_64", suits},
		{"noarch", x86, "x86_64", "noarch", suits},
		{"32 bits for 64", x86, "x86_64", "i686", foreign},
		{"64 bits for 32", x86, "i686", "x86_64", suits},
		{"32 bits for 32", x86, "i586", "i686", suits},
		{"for noarch, the machine's", x86, "noarch", "x86_64", suits},
		{"for noarch, 32 bits", x86, "noarch", "i686", foreign},
		{"for noarch, 32 bits on a 32-bit machine", small, "noarch", "i686", suits},
		{"for noarch, of several machines", mixed, "noarch", "aarch64", suits},
		{"for noarch, 32 bits of several machines", mixed, "noarch", "i586", foreign},
		{"another machine's", mixed, "x86_64", "aarch64", useless},
		{"another machine's for noarch", x86, "noarch", "s390x", useless},
		{"source", x86, "noarch", "src", useless},
	} {
		if got := tc.group.fit(family(tc.need), family(tc.have)); got != tc.want {
			t.Errorf("%s: %s for %s: got %d, want %d", tc.name, tc.have, tc.need, got, tc.want)
		}
	}
}

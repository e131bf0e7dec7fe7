package repodata

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestParseFilename(t *testing.T) {
	evr := func(v, r string) EVR { return EVR{Version: v, Release: r} }
	good := map[string]NEVRA{
		"kernel-6.8.5-301.fc40.x86_64.rpm":                          {"kernel", evr("6.8.5", "301.fc40"), "x86_64"},
		"gcc-c++-14.1.1-1.fc41.i686.rpm":                            {"gcc-c++", evr("14.1.1", "1.fc41"), "i686"},
		"java-1.8.0-openjdk-1.8.0.412.b08-1.fc41.noarch.rpm":        {"java-1.8.0-openjdk", evr("1.8.0.412.b08", "1.fc41"), "noarch"},
		"foo-1.0~rc1^20240101git-0.1.src.rpm":                       {"foo", evr("1.0~rc1^20240101git", "0.1"), "src"},
		"foo-1-1.nosrc.rpm":                                         {"foo", evr("1", "1"), "nosrc"},
		"foo-2:1-1.noarch.rpm":                                      {"foo", EVR{2, "1", "1"}, "noarch"},
		"nss-3.44.0-7.el7_7.x86_64.rpm":                             {"nss", evr("3.44.0", "7.el7_7"), "x86_64"},
		"perl-5.26-416.module+el8.0.0+42_x.x86_64.rpm":              {"perl", evr("5.26", "416.module+el8.0.0+42_x"), "x86_64"},
		"bash-5.2.15-1.fc38_5.2.15-3.fc38.x86_64.drpm":              {"bash", evr("5.2.15", "3.fc38"), "x86_64"},
		"cpp41-4.1.3_20071030-1.52_4.1.3_20071031-1.1.i586.drpm":    {"cpp41", evr("4.1.3_20071031", "1.1"), "i586"},
		"a-b-1.0-1.module_el8_1.1-2.module_el8.noarch.drpm":         {"a-b", evr("1.1", "2.module_el8"), "noarch"},
		"vlc_3.0.21-1_amd64.deb":                                    {"vlc", evr("3.0.21", "1"), "amd64"},
		"vim_2%3a9.0.1378-2_amd64.deb":                              {"vim", EVR{2, "9.0.1378", "2"}, "amd64"},
		"vim_2%3A9.0.1378-2_amd64.deb":                              {"vim", EVR{2, "9.0.1378", "2"}, "amd64"},
		"linux-image-6.1.0-21-amd64_6.1.90-1_amd64.deb":             {"linux-image-6.1.0-21-amd64", evr("6.1.90", "1"), "amd64"},
		"libstdc++6_12.2.0-14+deb12u1~bpo1_arm64.deb":               {"libstdc++6", evr("12.2.0", "14+deb12u1~bpo1"), "arm64"},
		"base-passwd_3.6.1_amd64.udeb":                              {"base-passwd", evr("3.6.1", ""), "amd64"},
		"busybox-1.36.1-r2.apk":                                     {"busybox", evr("1.36.1", "r2"), ""},
		"py3-a-b-0.1_git20240101-r10.apk":                           {"py3-a-b", evr("0.1_git20240101", "r10"), ""},
		"linux-firmware-20240510.b9d2bf23-1-any.pkg.tar.zst":        {"linux-firmware", evr("20240510.b9d2bf23", "1"), "any"},
		"zfs-dkms-1:2.1-3-x86_64.pkg.tar.xz":                        {"zfs-dkms", EVR{1, "2.1", "3"}, "x86_64"},
		"NetworkManager-1.0.0-1.fc21_1.0.0-2.fc21.x86_64.drpm":      {"NetworkManager", evr("1.0.0", "2.fc21"), "x86_64"},
		"texlive-collection-basic-svn70000-70.fc41.1.noarch.rpm":    {"texlive-collection-basic", evr("svn70000", "70.fc41.1"), "noarch"},
		"google-chrome-stable_current-125.0.6422.60-1.x86_64.rpm":   {"google-chrome-stable_current", evr("125.0.6422.60", "1"), "x86_64"},
		"glibc-langpack-sr@latin-2.39-8.fc40.aarch64.rpm":           {"glibc-langpack-sr@latin", evr("2.39", "8.fc40"), "aarch64"},
		"rust-caf\u00e9+default-devel-0.1.0-1.fc41.noarch.rpm":      {"rust-caf\u00e9+default-devel", evr("0.1.0", "1.fc41"), "noarch"},
		"python3.12-devel-3.12.3-1.fc40.x86_64.rpm":                 {"python3.12-devel", evr("3.12.3", "1.fc40"), "x86_64"},
		"libreoffice-langpack-pt-BR-24.2.3.2-1.fc40.x86_64.rpm":     {"libreoffice-langpack-pt-BR", evr("24.2.3.2", "1.fc40"), "x86_64"},
		"kernel-default-5.14.21-150500.55.59.1.x86_64.rpm":          {"kernel-default", evr("5.14.21", "150500.55.59.1"), "x86_64"},
		"xorg-x11-drv-nvidia-470xx-3:470.239.06-1.fc40.x86_64.rpm":  {"xorg-x11-drv-nvidia-470xx", EVR{3, "470.239.06", "1.fc40"}, "x86_64"},
		"0ad-0.0.26-21.fc40.x86_64.rpm":                             {"0ad", evr("0.0.26", "21.fc40"), "x86_64"},
		"a_b-1-1_2-1.x86_64.drpm":                                   {"a_b", evr("2", "1"), "x86_64"},
		"linux-modules-dbgsym_6.8.0-31.31_amd64.ddeb":               {"linux-modules-dbgsym", evr("6.8.0", "31.31"), "amd64"},
		"archlinux-keyring-20240609-1-any.pkg.tar.gz":               {"archlinux-keyring", evr("20240609", "1"), "any"},
		"emacs-terminal-1:29.3-9.fc41.noarch.rpm":                   {"emacs-terminal", EVR{1, "29.3", "9.fc41"}, "noarch"},
		"tzdata_2024a-0+deb12u1_all.deb":                            {"tzdata", evr("2024a", "0+deb12u1"), "all"},
		"nodejs-20.12.2-1.module+el9.4.0+21731+46b5b8a7.x86_64.rpm": {"nodejs", evr("20.12.2", "1.module+el9.4.0+21731+46b5b8a7"), "x86_64"},
	}
	for in, want := range good {
		if got, ok := ParseFilename(in); !ok || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", in, got, ok, want)
		}
	}
	bad := []string{"", ".rpm", "rpm", "foo.rpm", "foo-1.rpm", "foo-1.x86_64.rpm", "-1-1.noarch.rpm", "foo--1.noarch.rpm", "foo-1-.noarch.rpm",
		"foo-1-1-.rpm", "foo-1:-1.noarch.rpm", "foo-1-1.noarch.rpm.sig", "a/foo-1-1.noarch.rpm", "foo-1-1.noarch.rpm\n", "foo -1-1.noarch.rpm",
		"foo-1-1.noarch.rpm\xff", "foo-1-1.noarch", "repomd.xml", "foo_1.deb", "_1_amd64.deb", "foo__amd64.deb", "foo_1_.deb", "foo_1%3a_amd64.deb",
		"foo-1-2.apk", "foo-1-r.apk", "foo-1-rx.apk", "foo-r2.apk", "APKINDEX.tar.gz", "foo-1-1-any.pkg.tar.zst.sig", "foo-1-any.pkg.tar.zst", "0-0-0..rpm", "0-0-0_0-0..drpm", "0-0-0-.pkg.tar.zst",
		"foo-1-1-any.pkg.tar.lz", "foo.pkg.tar.zst", "foo-1-1.x86_64.drpm", "foo-1-1_2.x86_64.drpm", "1-1_2-1.x86_64.drpm", "foo-1-_2-1.x86_64.drpm"}
	for _, in := range bad {
		if got, ok := ParseFilename(in); ok {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}

func TestNEVRAString(t *testing.T) {
	for in, want := range map[string]string{
		"kernel-6.8.5-301.fc40.x86_64.rpm": "kernel-6.8.5-301.fc40.x86_64",
		"vim_2%3a9.0-2_amd64.deb":          "vim-2:9.0-2.amd64",
		"busybox-1.36.1-r2.apk":            "busybox-1.36.1-r2",
	} {
		if n, ok := ParseFilename(in); !ok || n.String() != want {
			t.Errorf("%s: %s, want %s", in, n, want)
		}
	}
}

func FuzzParseFilename(f *testing.F) {
	for _, s := range []string{"a-1-1.noarch.rpm", "a-1-1_2-1.noarch.drpm", "a_1%3a2-1_all.deb", "a_2-%3a_.deball.deb", "a%3a_l2-%3a_..deb", "a-1-r1.apk", "a-1:1-1-any.pkg.tar.zst", "a.rpm", "--.rpm", "__.deb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, base string) {
		n, ok := ParseFilename(base)
		if !ok {
			return
		}
		if n.Name == "" || n.Version == "" || n.Epoch < 0 || filepath.Base(base) != base {
			t.Errorf("%q: %+v", base, n)
		}
		for _, part := range []string{n.Name, n.Release, n.Arch} {
			if decoded := strings.NewReplacer("%3a", ":", "%3A", ":").Replace(base); !strings.Contains(base+" "+decoded, part) {
				t.Errorf("%q: %q is not in it", base, part)
			}
		}
		// An RPM's name is its NEVRA, but for the spelling of the epoch.
		if strings.HasSuffix(base, ".rpm") && !strings.Contains(base, ":") && n.String()+".rpm" != base {
			t.Errorf("%q: %s", base, n)
		}
	})
}

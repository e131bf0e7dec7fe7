package config

import "testing"

func TestClassify(t *testing.T) {
	c := mustLoad(t, host(nil, nil))
	for path, want := range map[string]Class{
		"/fedora/updates/41/Everything/x86_64/Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm": Package,
		"/fedora/updates/41/Everything/x86_64/repodata/repomd.xml":                     Metadata,
		"/fedora/updates/41/Everything/x86_64/repodata/x.drpm":                         Package, // packages win
		"/debian/pool/main/v/vlc/vlc_3.0.21-1_amd64.deb":                               Package,
		"/debian/dists/trixie/InRelease":                                               Metadata,
		"/debian/local/Packages.xz":                                                    Metadata,
		"/debian/local/Packages.zst":                                                   Metadata,
		"/debian/local/Packages.md5":                                                   Other,
		"/fedora/RPM-GPG-KEY-fedora":                                                   Metadata,
		"/opensuse/tumbleweed/media.1/media":                                           Metadata,
		"/fedora/releases/41/Everything/x86_64/os/.treeinfo":                           Extra,
		"/fedora/releases/41/Everything/x86_64/os/images/pxeboot/vmlinuz":              Extra,
		"/fedora/images/repodata/x":                                                    Metadata, // metadata wins over extra
		"/fedora/releases/41/Everything/x86_64/iso/Fedora.iso":                         Other,
		"/": Other,
		"":  Other,
	} {
		if got := c.Serve.Classify(path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func TestClassNames(t *testing.T) {
	for class, want := range map[Class]string{Other: "other", Package: "package", Metadata: "metadata", Extra: "extra"} {
		if got := class.String(); got != want {
			t.Errorf("class %d is %q, want %q", class, got, want)
		}
	}
}

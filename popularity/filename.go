package popularity

import "strings"

// packageName takes the name and the architecture out of a package's file name.
// dir is the directory it lies in: Alpine's packages have their architecture
// there alone. What is named like no package format is refused.
//
//	kernel-6.8.5-301.fc40.x86_64.rpm                       name-version-release.arch
//	vlc-3.0.20-1.fc40_3.0.21-1.fc40.x86_64.drpm            name-old_new.arch, a delta: it counts for its name
//	vlc_3.0.21-1_amd64.deb, .udeb                          name_version_arch
//	linux-6.9.arch1-1-x86_64.pkg.tar.zst                   name-version-release-arch
//	main/x86_64/busybox-1.36.1-r29.apk                     arch/name-version-release
func packageName(dir, base string) (name, arch string, ok bool) {
	if stem, found := strings.CutSuffix(base, ".rpm"); found {
		stem, arch, ok = cutLast(stem, ".")
		name = beforeDashes(stem, 2)
		return name, arch, ok && arch != "" && name != ""
	}
	if stem, found := strings.CutSuffix(base, ".drpm"); found {
		stem, arch, ok = cutLast(stem, ".")
		name = beforeDashes(stem, 3)
		return name, arch, ok && arch != "" && name != "" && strings.Contains(stem, "_")
	}
	for _, suffix := range []string{".deb", ".udeb"} {
		stem, found := strings.CutSuffix(base, suffix)
		if !found {
			continue
		}
		part := strings.Split(stem, "_")
		if len(part) != 3 {
			return "", "", false
		}
		return part[0], part[2], part[0] != "" && part[1] != "" && part[2] != ""
	}
	if stem, found := strings.CutSuffix(base, ".apk"); found {
		_, arch, _ = cutLast("/"+dir, "/")
		name = beforeDashes(stem, 2)
		return name, arch, arch != "" && name != ""
	}
	if stem, ext, found := strings.Cut(base, ".pkg.tar."); found && !strings.Contains(ext, ".") {
		stem, arch, ok = cutLast(stem, "-")
		name = beforeDashes(stem, 2)
		return name, arch, ok && arch != "" && name != ""
	}
	return "", "", false
}

// cutLast splits s at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// beforeDashes is what stands before the last n dashes of s, each of which has
// something behind it; empty if there are fewer.
func beforeDashes(s string, n int) string {
	for range n {
		before, after, found := cutLast(s, "-")
		if !found || after == "" {
			return ""
		}
		s = before
	}
	return s
}

package serve

// source is a list of mirrors as a distribution's own repository files name it, and
// where on this mirror the same repository is. A "@" in path stands for the release
// that the list's URL has between list and after.
type source struct {
	repo  string // of the configuration; where it has none of that name the source does not count
	of    string // whose it is, for people
	id    string // the section of the distribution's file; "" where a person need not see it
	usual string // the release as that file has it
	list  string // the beginning of the URL, without its scheme
	after string // what follows the release; "" is its end, or the next parameter
	path  string // below the repository
}

// sources are the lists that are known: those of the repositories that are built in
// (internal/config/repos.toml), by what the distributions' release packages have in
// /etc/yum.repos.d. zypper's files and apt's name hosts, and need no entry here.
var sources = func() []source {
	const (
		fedora  = "mirrors.fedoraproject.org/metalink?repo="
		centos  = "mirrors.centos.org/metalink?repo=centos-"
		rocky   = "mirrors.rockylinux.org/mirrorlist?arch=$basearch&repo="
		alma    = "mirrors.almalinux.org/mirrorlist/"
		fusion  = "mirrors.rpmfusion.org/metalink?repo="
		fusions = "mirrors.rpmfusion.org/mirrorlist?repo="
		version = "$releasever"
	)
	all := []source{
		{"fedora", "Fedora", "fedora", version, fedora + "fedora-", "", "releases/@/Everything/$basearch/os/"},
		{"fedora", "Fedora", "updates", version, fedora + "updates-released-f", "", "updates/@/Everything/$basearch/"},
		{"fedora", "Fedora", "", version, fedora + "updates-testing-f", "", "updates/testing/@/Everything/$basearch/"},
		{"fedora", "Fedora", "", version, fedora + "fedora-debug-", "", "releases/@/Everything/$basearch/debug/tree/"},
		{"fedora", "Fedora", "", version, fedora + "updates-released-debug-f", "", "updates/@/Everything/$basearch/debug/"},
		{"epel", "EPEL", "epel", version, fedora + "epel-", "", "@/Everything/$basearch/"},
	}
	for _, section := range []struct{ id, name string }{
		{"baseos", "BaseOS"}, {"appstream", "AppStream"}, {"crb", "CRB"}, {"highavailability", "HighAvailability"},
	} {
		path := "@/" + section.name + "/$basearch/os/"
		all = append(all,
			source{"centos-stream", "CentOS Stream", section.id, "$stream", centos + section.id + "-", "", path},
			source{"rocky", "Rocky Linux", section.id, version, rocky + section.name + "-", "", path},
			source{"almalinux", "AlmaLinux", section.id, version, alma, "/" + section.id, path})
	}
	all = append(all,
		source{"rocky", "Rocky Linux", "extras", version, rocky + "extras-", "", "@/extras/$basearch/os/"},
		source{"almalinux", "AlmaLinux", "extras", version, alma, "/extras", "@/extras/$basearch/os/"})
	for _, section := range []string{"free", "nonfree"} {
		name := "rpmfusion-" + section
		all = append(all,
			source{"rpmfusion", "RPM Fusion for Fedora", name, version, fusion + section + "-fedora-", "", section + "/fedora/releases/@/Everything/$basearch/os/"},
			source{"rpmfusion", "RPM Fusion for Fedora", name + "-updates", version, fusion + section + "-fedora-updates-released-", "", section + "/fedora/updates/@/$basearch/"},
			source{"rpmfusion", "RPM Fusion", "", version, fusion + section + "-el-updates-released-", "", section + "/el/updates/@/$basearch/"},
			source{"rpmfusion", "RPM Fusion", "", version, fusions + section + "-el-updates-released-", "", section + "/el/updates/@/$basearch/"})
	}
	return all
}()

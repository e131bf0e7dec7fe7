package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"

	"intelligentmirror/contrib/bench/internal/rpmrepo"
)

// repository is a repository of RPM packages that lies in a directory. Its packages
// are a few bytes each, and made when they are asked for.
type repository struct {
	packages     []rpm
	byPath       map[string]*rpm // below the root
	open, packed int             // bytes of primary.xml, and of primary.xml.zst
}

// rpm is one of its packages.
type rpm struct {
	stanza
	epoch, ver, rel string
	file            string // below the root
}

// contentSize is how many bytes a package has.
const contentSize = 512

// content are a package's bytes: the first are those of a lead of RPM's.
func content(name string) []byte {
	b := make([]byte, contentSize)
	copy(b, "\xed\xab\xee\xdb\x03\x00")
	copy(b[96:], name)
	return b
}

// newRepository makes a repository of the packages of a Debian index, with the
// metadata that createrepo_c would write, as far as a client needs it, in dir.
func newRepository(dir string, index []stanza) (*repository, error) {
	r := &repository{byPath: map[string]*rpm{}, packages: make([]rpm, len(index))}
	var primary bytes.Buffer
	fmt.Fprintf(&primary, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, len(index))
	for i := range index {
		p := &r.packages[i]
		p.stanza = index[i]
		p.epoch, p.ver, p.rel = evr(p.version)
		p.arch = rpmArch(p.arch)
		p.file = fmt.Sprintf("Packages/%c/%s-%s-%s.%s.rpm", p.name[0], p.name, p.ver, p.rel, p.arch)
		r.byPath[p.file] = p
		p.write(&primary)
		// No more is needed of it, and what this process holds is the least that the
		// measured ones are said to have held.
		p.stanza = stanza{name: p.name, source: p.source}
	}
	primary.WriteString("</metadata>\n")
	meta, err := rpmrepo.Write(dir, primary.Bytes(), zstd.SpeedBetterCompression)
	r.open, r.packed = primary.Len(), meta.Packed
	return r, err
}

// write writes the package's entry of primary.xml.
func (p *rpm) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<package type=\"rpm\">\n  <name>%s</name>\n  <arch>%s</arch>\n  <version epoch=\"%s\" ver=\"%s\" rel=\"%s\"/>\n",
		p.name, p.arch, p.epoch, text(p.ver), text(p.rel))
	fmt.Fprintf(b, "  <checksum type=\"sha256\" pkgid=\"YES\">%x</checksum>\n  <summary>%s</summary>\n  <description>%s</description>\n",
		sha256.Sum256(content(p.file)), text(p.summary), text(p.description()))
	fmt.Fprintf(b, "  <packager>%s</packager>\n  <url>%s</url>\n  <time file=\"%d\" build=\"%d\"/>\n", text(p.maintainer), text(p.homepage), rpmrepo.Built, rpmrepo.Built)
	fmt.Fprintf(b, "  <size package=\"%d\" installed=\"%d\" archive=\"%d\"/>\n  <location href=\"%s\"/>\n", contentSize, 4*contentSize, 4*contentSize, text(p.file))
	fmt.Fprintf(b, "  <format>\n    <rpm:license>GPL-2.0-or-later</rpm:license>\n    <rpm:vendor>Fedora Project</rpm:vendor>\n    <rpm:group>%s</rpm:group>\n", text(p.section))
	fmt.Fprintf(b, "    <rpm:buildhost>buildhw-x86-01.iad2.fedoraproject.org</rpm:buildhost>\n    <rpm:sourcerpm>%s-%s-%s.src.rpm</rpm:sourcerpm>\n", p.sourceName(), text(p.ver), text(p.rel))
	b.WriteString("    <rpm:header-range start=\"4504\" end=\"9001\"/>\n")
	own := relation{p.name, "EQ", p.version}
	isa := own
	if p.arch != "noarch" {
		isa.name += "(x86-64)"
	}
	gives, needs := append([]relation{own, isa}, relations(p.provides)...), relations(p.depends)
	// What rpm finds out itself: sonames, interpreters.
	if strings.HasPrefix(p.name, "lib") {
		gives = append(gives, relation{name: p.name + ".so()(64bit)"})
	}
	for _, r := range needs {
		if strings.HasPrefix(r.name, "lib") {
			needs = append(needs, relation{name: r.name + ".so()(64bit)"})
		}
	}
	entries(b, "provides", gives)
	entries(b, "requires", append(needs, relation{name: "/bin/sh"}, relation{name: "rtld(GNU_HASH)"}))
	entries(b, "recommends", relations(p.recommends))
	entries(b, "conflicts", relations(p.conflicts))
	fmt.Fprintf(b, "    <file>/usr/bin/%s</file>\n    <file>/etc/%s.conf</file>\n    <file type=\"dir\">/etc/%s.d</file>\n  </format>\n</package>\n", p.name, p.name, p.name)
}

// sourceName is the name of the source package.
func (p *rpm) sourceName() string {
	source, _, _ := strings.Cut(p.source, " ")
	return cmp.Or(source, p.name)
}

// description is a text of the length that descriptions have: an index lists only
// their digests, so that it is made of what else the index says.
func (p *rpm) description() string {
	said := p.summary + ".\n" + strings.Join(strings.Split(p.tags, ", "), "\n") + "\n"
	return strings.TrimSpace(said + strings.Repeat(p.summary+", which is packaged by "+p.maintainer+".\n", 1+len(p.name)%7))
}

func entries(b *bytes.Buffer, list string, all []relation) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "    <rpm:%s>\n", list)
	for _, r := range all {
		fmt.Fprintf(b, "      <rpm:entry name=\"%s\"", text(r.name))
		if r.flags != "" {
			epoch, ver, rel := evr(r.version)
			fmt.Fprintf(b, " flags=\"%s\" epoch=\"%s\" ver=\"%s\" rel=\"%s\"", r.flags, epoch, text(ver), text(rel))
		}
		b.WriteString("/>\n")
	}
	fmt.Fprintf(b, "    </rpm:%s>\n", list)
}

// text is s escaped as createrepo_c does it.
func text(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

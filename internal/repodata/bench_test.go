package repodata

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
)

// syntheticPrimary is a primary.xml of n packages, of the size and with the kinds
// of entries that those of Fedora have.
func syntheticPrimary(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, n)
	for i := range n {
		name := fmt.Sprintf("package%d-libs", i)
		ver, rel := fmt.Sprintf("%d.%d.%d", rnd.IntN(9), rnd.IntN(40), rnd.IntN(9)), fmt.Sprintf("%d.fc41", 1+rnd.IntN(9))
		fmt.Fprintf(&b, `<package type="rpm">
  <name>%s</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="%s" rel="%s"/>
  <checksum type="sha256" pkgid="YES">%016x%016x%016x%016x</checksum>
  <summary>A package &amp; its libraries, number %d</summary>
  <description>%s</description>
  <packager>Fedora Project</packager>
  <url>https://example.org/%s</url>
  <time file="1700000000" build="%d"/>
  <size package="%d" installed="%d" archive="%d"/>
  <location href="Packages/p/%s-%s-%s.x86_64.rpm"/>
  <format>
    <rpm:license>GPL-2.0-or-later</rpm:license>
    <rpm:vendor>Fedora Project</rpm:vendor>
    <rpm:group>Unspecified</rpm:group>
    <rpm:buildhost>buildhw-x86-01.example.org</rpm:buildhost>
    <rpm:sourcerpm>package%d-%s-%s.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="4504" end="%d"/>
    <rpm:provides>
`, name, ver, rel, rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), i, prose(rnd), name,
			1690000000+i, 1000+rnd.IntN(1e7), rnd.IntN(1e8), rnd.IntN(1e8), name, ver, rel, i/3, ver, rel, 9000+rnd.IntN(1e5))
		entry := func(name, flags string) {
			fmt.Fprintf(&b, "      <rpm:entry name=\"%s\" flags=\"%s\" epoch=\"0\" ver=\"%s\" rel=\"%s\"/>\n", name, flags, ver, rel)
		}
		entry(name, "EQ")
		entry(name+"(x86-64)", "EQ")
		for j := range rnd.IntN(4) {
			fmt.Fprintf(&b, "      <rpm:entry name=\"libpackage%d-%d.so.1()(64bit)\"/>\n", i, j)
		}
		b.WriteString("    </rpm:provides>\n    <rpm:requires>\n")
		for range rnd.IntN(16) {
			fmt.Fprintf(&b, "      <rpm:entry name=\"libpackage%d-%d.so.1()(64bit)\"/>\n", rnd.IntN(n)*rnd.IntN(n)/n, rnd.IntN(3))
		}
		entry(fmt.Sprintf("package%d-libs", rnd.IntN(n)), "GE")
		b.WriteString("      <rpm:entry name=\"/bin/sh\" pre=\"1\"/>\n      <rpm:entry name=\"rtld(GNU_HASH)\"/>\n    </rpm:requires>\n")
		for j := range rnd.IntN(3) {
			fmt.Fprintf(&b, "    <file>/usr/bin/package%d-tool%d</file>\n", i, j)
		}
		b.WriteString("  </format>\n</package>\n")
	}
	b.WriteString("</metadata>\n")
	return b.Bytes()
}

// prose is a description of a usual length.
func prose(rnd *rand.Rand) string {
	words := []string{"library", "provides", "the", "a", "server", "of", "tools", "for\n", "files", "&lt;here&gt;", "caf\u00e9", "and", "is"}
	var b bytes.Buffer
	for range 20 + rnd.IntN(100) {
		b.WriteString(words[rnd.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}

// cpuSeconds reports what each round took of the processor, which, unlike the
// time on the wall, tells something on a machine that does other things too.
func cpuSeconds(b *testing.B) (report func()) {
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	before := used()
	return func() { b.ReportMetric((used()-before)/float64(b.N), "cpu-s/op") }
}

var large = sync.OnceValue(func() []byte { return syntheticPrimary(60000) })

func BenchmarkScanPrimary(b *testing.B) {
	data := large()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	defer cpuSeconds(b)()
	for b.Loop() {
		stats, err := ScanPrimary(bytes.NewReader(data), func(*Package) error { return nil })
		if err != nil || stats.Packages != 60000 {
			b.Fatal(stats, err)
		}
	}
}

// BenchmarkScanPrimaryKeep keeps all packages, as an index of them would.
func BenchmarkScanPrimaryKeep(b *testing.B) {
	data := large()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	defer cpuSeconds(b)()
	for b.Loop() {
		if pkgs, _, err := scanAll(bytes.NewReader(data)); err != nil || len(pkgs) != 60000 {
			b.Fatal(len(pkgs), err)
		}
	}
}

// BenchmarkEncodingXML does the same with encoding/xml, one package at a time.
func BenchmarkEncodingXML(b *testing.B) {
	type entry struct {
		Name  string `xml:"name,attr"`
		Flags string `xml:"flags,attr"`
		Epoch int    `xml:"epoch,attr"`
		Ver   string `xml:"ver,attr"`
		Rel   string `xml:"rel,attr"`
		Pre   string `xml:"pre,attr"`
	}
	type pkg struct {
		Name      string      `xml:"name"`
		Arch      string      `xml:"arch"`
		Version   entry       `xml:"version"`
		Checksum  xmlChecksum `xml:"checksum"`
		SourceRPM string      `xml:"format>sourcerpm"`
		Requires  []entry     `xml:"format>requires>entry"`
		Provides  []entry     `xml:"format>provides>entry"`
		Obsoletes []entry     `xml:"format>obsoletes>entry"`
		Conflicts []entry     `xml:"format>conflicts>entry"`
		Files     []string    `xml:"format>file"`
		Location  struct {
			Href string `xml:"href,attr"`
		} `xml:"location"`
		Size struct {
			Package int64 `xml:"package,attr"`
		} `xml:"size"`
	}
	data := large()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	defer cpuSeconds(b)()
	for b.Loop() {
		d := xml.NewDecoder(bytes.NewReader(data))
		n := 0
		for {
			t, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if start, ok := t.(xml.StartElement); ok && start.Name.Local == "package" {
				var p pkg
				if err := d.DecodeElement(&p, &start); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		if n != 60000 {
			b.Fatal(n)
		}
	}
}

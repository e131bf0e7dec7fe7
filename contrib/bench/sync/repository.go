package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"intelligentmirror/contrib/bench/internal/rpmrepo"
)

// spread is the standard deviation of the sizes' logarithm: with it half of the
// packages have less than 0.28 of the mean, and the largest of a thousand about
// fifty times the mean, as in a distribution.
const spread = 1.6

// smallest is how many bytes a package has at the least: a lead and a header.
const smallest = 4 << 10

// rpm is a package as the metadata lists it.
type rpm struct {
	name string
	file string // below the root
	size int64
	sum  [sha256.Size]byte
}

// repository is an RPM repository in a directory.
type repository struct {
	dir   string
	files []rpm // its packages
	bytes int64 // of all packages
	meta  []string
}

// sizes are n sizes, log-normal, of about total bytes together.
func sizes(n int, total int64) []int64 {
	random := rand.New(rand.NewPCG(1, 2))
	weights := make([]float64, n)
	var sum float64
	for i := range weights {
		weights[i] = math.Exp(spread * random.NormFloat64())
		sum += weights[i]
	}
	all := make([]int64, n)
	for i, w := range weights {
		all[i] = max(smallest, int64(w/sum*float64(total)))
	}
	return all
}

// newRepository makes one in dir of n packages, which have about total bytes.
func newRepository(dir string, n int, total int64) (*repository, error) {
	r := &repository{dir: dir}
	for i, size := range sizes(n, total) {
		p := rpm{name: fmt.Sprintf("%ctool%d", 'a'+i%26, i), size: size}
		p.file = fmt.Sprintf("Packages/%c/%s-1.%d-1.fc41.x86_64.rpm", p.name[0], p.name, i)
		content := payload(uint64(i), size)
		p.sum = sha256.Sum256(content)
		if err := r.write(p.file, content); err != nil {
			return nil, err
		}
		r.files, r.bytes = append(r.files, p), r.bytes+size
	}
	return r, r.describe()
}

// payload is what a package consists of: a lead of RPM's, and bytes that no other
// package has, so that none can be made of another.
func payload(seed uint64, size int64) []byte {
	b := make([]byte, size)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed+1)
	// A ChaCha8 never fails.
	_, _ = rand.NewChaCha8(key).Read(b)
	copy(b, "\xed\xab\xee\xdb\x03\x00")
	return b
}

// describe writes the metadata.
func (r *repository) describe() error {
	var primary bytes.Buffer
	fmt.Fprintf(&primary, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, len(r.files))
	for i := range r.files {
		r.files[i].describe(&primary, i)
	}
	primary.WriteString("</metadata>\n")
	meta, err := rpmrepo.Write(r.dir, primary.Bytes(), zstd.SpeedDefault)
	r.meta = []string{"repodata/repomd.xml", meta.Primary}
	return err
}

// describe writes the package's entry of primary.xml, as createrepo_c does it; it is
// the i-th package.
func (p *rpm) describe(b *bytes.Buffer, i int) {
	fmt.Fprintf(b, `<package type="rpm">
  <name>%[1]s</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="1.%[2]d" rel="1.fc41"/>
  <checksum type="sha256" pkgid="YES">%[3]x</checksum>
  <summary>A tool with the number %[2]d</summary>
  <description>A tool that a benchmark downloads, and that nobody installs.</description>
  <packager>Fedora Project</packager>
  <url>https://example.org/%[1]s</url>
  <time file="%[4]d" build="%[4]d"/>
  <size package="%[5]d" installed="%[6]d" archive="%[6]d"/>
  <location href="%[7]s"/>
  <format>
    <rpm:license>GPL-2.0-or-later</rpm:license>
    <rpm:vendor>Fedora Project</rpm:vendor>
    <rpm:group>Unspecified</rpm:group>
    <rpm:buildhost>buildhw-x86-01.iad2.fedoraproject.org</rpm:buildhost>
    <rpm:sourcerpm>%[1]s-1.%[2]d-1.fc41.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="1504" end="3001"/>
    <rpm:provides>
      <rpm:entry name="%[1]s" flags="EQ" epoch="0" ver="1.%[2]d" rel="1.fc41"/>
      <rpm:entry name="%[1]s(x86-64)" flags="EQ" epoch="0" ver="1.%[2]d" rel="1.fc41"/>
    </rpm:provides>
    <rpm:requires>
      <rpm:entry name="rtld(GNU_HASH)"/>
    </rpm:requires>
    <file>/usr/bin/%[1]s</file>
  </format>
</package>
`, p.name, i, p.sum, rpmrepo.Built, p.size, 2*p.size, p.file)
}

// write writes a file below the root.
func (r *repository) write(name string, content []byte) error {
	name = filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}

// check is an error unless all packages lie below dir as the repository has them.
func (r *repository) check(dir string) error {
	for _, p := range r.files {
		b, err := os.ReadFile(filepath.Join(dir, p.file))
		if err != nil {
			return err
		}
		if sha256.Sum256(b) != p.sum {
			return fmt.Errorf("%s has other bytes than the mirror's", p.file)
		}
	}
	return nil
}

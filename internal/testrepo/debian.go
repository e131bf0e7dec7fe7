package testrepo

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"
)

// Deb is a Debian package of a test.
type Deb struct {
	Name, Version string
	Arch          string // "" is "amd64"
	Size          int    // bytes of its payload, which does not compress
	Seed          uint64 // of the payload: another one is other bytes under the same name
}

// Filename is the package's file below the top of its archive: in the pool or,
// of a flat repository, beside the index.
func (d Deb) Filename(flat bool) string {
	name := fmt.Sprintf("%s_%s_%s.deb", d.Name, d.Version, d.arch())
	if flat {
		return name
	}
	return path.Join("pool", "main", d.Name[:1], d.Name, name)
}

func (d Deb) arch() string { return cmp.Or(d.Arch, "amd64") }

// Suite says how BuildSuite makes a suite.
type Suite struct {
	// Name is the suite's: its metadata is below dists/<name>. "" is a flat
	// repository.
	Name string
	// Time is the Date of its Release, and Valid how long clients believe it after
	// that; 0 is for ever.
	Time  time.Time
	Valid time.Duration
	// ByHash has each index under its digest too.
	ByHash bool
	// Packed is how each index is to be had; nil is gzip and xz.
	Packed []Compression
	// Inline makes the InRelease, and Detached the Release.gpg, of a Release; where
	// one of them is nil there is no such file.
	Inline, Detached func(release []byte) ([]byte, error)
}

// BuildSuite makes the files of a suite of these packages, all in its component
// main, by their paths below the top of the archive: packages, a packed Packages or
// several for each architecture, Release and what signs that. They are the caller's
// to publish, in whatever order.
func BuildSuite(debs []Deb, o Suite) (map[string][]byte, error) {
	flat := o.Name == ""
	files := map[string][]byte{}
	lists := map[string]*bytes.Buffer{}
	archs := map[string]bool{}
	for _, d := range debs {
		raw, err := d.build()
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", d.Name, err)
		}
		files[d.Filename(flat)] = raw
		dir := "."
		if !flat {
			dir = "main/binary-" + d.arch()
		}
		if lists[dir] == nil {
			lists[dir] = new(bytes.Buffer)
		}
		archs[d.arch()] = true
		fmt.Fprintf(lists[dir], "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", d.control(), d.Filename(flat), len(raw), sha256.Sum256(raw))
	}
	root := "."
	if !flat {
		root = "dists/" + o.Name
	}
	var sums strings.Builder
	for _, dir := range slices.Sorted(maps.Keys(lists)) {
		for _, c := range append([]Compression{Plain}, o.packed()...) {
			packed, suffix, err := pack(lists[dir].Bytes(), c)
			if err != nil {
				return nil, err
			}
			name := path.Join(dir, "Packages") + suffix
			sum := fmt.Sprintf("%x", sha256.Sum256(packed))
			fmt.Fprintf(&sums, " %s %d %s\n", sum, len(packed), name)
			if c == Plain {
				continue // listed, and not there, as archives have it
			}
			files[path.Join(root, name)] = packed
			if o.ByHash {
				files[path.Join(root, dir, "by-hash/SHA256", sum)] = packed
			}
		}
	}
	text := o.release(slices.Sorted(maps.Keys(archs))) + "SHA256:\n" + sums.String()
	files[path.Join(root, "Release")] = []byte(text)
	for name, sign := range map[string]func([]byte) ([]byte, error){"InRelease": o.Inline, "Release.gpg": o.Detached} {
		if sign == nil {
			continue
		}
		b, err := sign([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("sign the suite: %w", err)
		}
		files[path.Join(root, name)] = b
	}
	return files, nil
}

// release is the head of a Release.
func (o Suite) release(archs []string) string {
	var b strings.Builder
	name := cmp.Or(o.Name, "flat")
	const layout = "Mon, 02 Jan 2006 15:04:05 UTC"
	fmt.Fprintf(&b, "Origin: Test\nSuite: %s\nCodename: %s\nDate: %s\n", name, name, o.Time.UTC().Format(layout))
	if o.Valid > 0 {
		fmt.Fprintf(&b, "Valid-Until: %s\n", o.Time.Add(o.Valid).UTC().Format(layout))
	}
	if o.ByHash {
		b.WriteString("Acquire-By-Hash: yes\n")
	}
	fmt.Fprintf(&b, "Architectures: %s\nComponents: main\n", strings.Join(archs, " "))
	return b.String()
}

func (o Suite) packed() []Compression {
	if o.Packed == nil {
		return []Compression{Gzip, XZ}
	}
	return o.Packed
}

// control is what the package says of itself.
func (d Deb) control() string {
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Test <test@example.org>\nDescription: %s\n of a test\n",
		d.Name, d.Version, d.arch(), d.Name)
}

// build is the package's file: an ar archive of two tar archives.
func (d Deb) build() ([]byte, error) {
	payload := make([]byte, d.Size)
	r := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%s %s %d", d.Name, d.Version, d.Seed)))
	r.Read(payload)
	control, err := tarball("./control", []byte(d.control()))
	if err != nil {
		return nil, err
	}
	data, err := tarball("./usr/share/"+d.Name, payload)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", control}, {"data.tar.gz", data}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes(), nil
}

// tarball is a packed archive of one file.
func tarball(name string, data []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

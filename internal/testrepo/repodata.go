package testrepo

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// writeRepodata writes the metadata of pkgs, repomd.xml last, and reports the
// locations of what it wrote.
func writeRepodata(dir string, pkgs []*pkg, o BuildOptions) (map[string]bool, error) {
	at := o.Time
	for _, p := range pkgs {
		if o.Time.IsZero() && at.Before(p.buildTime()) {
			at = p.buildTime()
		}
	}
	if at.IsZero() {
		at = defaultBuildTime
	}
	at = at.UTC().Truncate(time.Second)

	md := repomdXML{
		NS: "http://linux.duke.edu/metadata/repo", RPM: rpmNS,
		Revision: strconv.FormatInt(at.Unix(), 10),
	}
	kept := make(map[string]bool)
	var all []Metadata
	for _, m := range []struct {
		typ string
		doc any
	}{
		{"primary", primaryOf(pkgs)},
		{"filelists", filelistsOf(pkgs)},
		{"other", otherOf(pkgs)},
	} {
		text, err := marshal(m.doc)
		if err != nil {
			return nil, fmt.Errorf("%s.xml: %w", m.typ, err)
		}
		all = append(all, Metadata{m.typ, m.typ + ".xml", string(text)})
	}
	for _, m := range append(all, o.Extra...) {
		open := []byte(m.Text)
		packed, suffix, err := pack(open, o.Compression)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		sum := hexSum(packed)
		name := m.Name + suffix
		if !o.SimpleNames {
			name = sum + "-" + name
		}
		location := path.Join("repodata", name)
		if err := putFile(filepath.Join(dir, filepath.FromSlash(location)), packed, at); err != nil {
			return nil, err
		}
		kept[location] = true
		md.Data = append(md.Data, dataXML{
			Type:         m.Type,
			Checksum:     checksumXML{Type: "sha256", Hex: sum},
			OpenChecksum: checksumXML{Type: "sha256", Hex: hexSum(open)},
			Location:     locationXML{location},
			Timestamp:    at.Unix(),
			Size:         len(packed), OpenSize: len(open),
		})
	}
	doc, err := marshal(md)
	if err != nil {
		return nil, fmt.Errorf("repomd.xml: %w", err)
	}
	const location = "repodata/repomd.xml"
	kept[location] = true
	return kept, putFile(filepath.Join(dir, filepath.FromSlash(location)), doc, at)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func marshal(doc any) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteString(xml.Header)
	enc := xml.NewEncoder(&buf)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

// pack compresses b, and says the suffix of the name of such a file.
func pack(b []byte, c Compression) (packed []byte, suffix string, err error) {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch c {
	case Plain:
		return b, "", nil
	case Gzip, "":
		w, suffix = gzip.NewWriter(&buf), ".gz"
	case XZ:
		// The usual 8 MiB, and the 50 MiB that a writer takes for them, were most of what a small index cost.
		w, err = xz.WriterConfig{DictCap: 256 << 10}.NewWriter(&buf)
		suffix = ".xz"
	case Zstd:
		w, err = zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
		suffix = ".zst"
	default:
		err = fmt.Errorf("compression %q: none of gz, xz, zst, plain", c)
	}
	if err != nil {
		return nil, "", err
	}
	if _, err := w.Write(b); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return buf.Bytes(), suffix, nil
}

// Package rpmrepo writes the metadata of benchmarks' RPM repositories.
package rpmrepo

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// Built is when all was built, Unix seconds: a repository is the same in each run.
const Built = 1767571200

// Metadata is what Write has written.
type Metadata struct {
	Primary string // its path below the root; repodata/repomd.xml stands beside it
	Packed  int    // its size in bytes
}

// Write writes primary, packed with zstd at that level, and a repomd.xml that lists it
// alone below the root dir.
func Write(dir string, primary []byte, level zstd.EncoderLevel) (Metadata, error) {
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(level))
	if err != nil {
		return Metadata{}, err
	}
	if _, err := z.Write(primary); err != nil {
		return Metadata{}, err
	}
	if err := z.Close(); err != nil {
		return Metadata{}, err
	}
	sum := sha256.Sum256(packed.Bytes())
	m := Metadata{Primary: fmt.Sprintf("repodata/%x-primary.xml.zst", sum), Packed: packed.Len()}
	repomd := fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>%d</revision>
  <data type="primary">
    <checksum type="sha256">%x</checksum>
    <open-checksum type="sha256">%x</open-checksum>
    <location href="%s"/>
    <timestamp>%d</timestamp>
    <size>%d</size>
    <open-size>%d</open-size>
  </data>
</repomd>
`, Built, sum, sha256.Sum256(primary), m.Primary, Built, m.Packed, len(primary))
	if err := os.MkdirAll(filepath.Join(dir, "repodata"), 0o755); err != nil {
		return m, err
	}
	if err := os.WriteFile(filepath.Join(dir, m.Primary), packed.Bytes(), 0o644); err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(dir, "repodata", "repomd.xml"), repomd, 0o644)
}

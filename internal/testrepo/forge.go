package testrepo

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Forge gives the metadata of a type ("primary") in the repository dir the bytes
// packed, and repomd.xml their digest and size: what a mirror has that lies, and
// takes care that all its lies agree. openSize is what repomd.xml says that they
// unpack to. repomd.xml keeps its time.
func Forge(dir, typ string, packed []byte, openSize int64) error {
	name := filepath.Join(dir, "repodata", "repomd.xml")
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	fi, err := os.Stat(name)
	if err != nil {
		return err
	}
	doc := string(b)
	at := strings.Index(doc, fmt.Sprintf("<data type=%q>", typ))
	if at < 0 {
		return fmt.Errorf("repomd.xml lists no %s", typ)
	}
	end := at + strings.Index(doc[at:], "</data>")
	record := doc[at:end]
	href := hrefOf.FindStringSubmatch(record)
	if href == nil {
		return fmt.Errorf("repomd.xml gives no location of %s", typ)
	}
	_, base, _ := strings.Cut(path.Base(href[1]), "-")
	location := "repodata/" + hexSum(packed) + "-" + base
	record = checksumOf.ReplaceAllString(record, "${1}"+hexSum(packed)+"<")
	record = hrefOf.ReplaceAllString(record, fmt.Sprintf("href=%q", location))
	record = sizeOf.ReplaceAllString(record, fmt.Sprintf("<size>%d</size>", len(packed)))
	record = openSizeOf.ReplaceAllString(record, fmt.Sprintf("<open-size>%d</open-size>", openSize))
	if err := putFile(filepath.Join(dir, filepath.FromSlash(location)), packed, fi.ModTime()); err != nil {
		return err
	}
	return putFile(name, []byte(doc[:at]+record+doc[end:]), fi.ModTime().Truncate(time.Second))
}

// The parts of a record of repomd.xml, as Build writes it.
var (
	checksumOf = regexp.MustCompile(`(<checksum type="sha256">)[0-9a-f]+<`)
	hrefOf     = regexp.MustCompile(`href="([^"]*)"`)
	sizeOf     = regexp.MustCompile(`<size>\d+</size>`)
	openSizeOf = regexp.MustCompile(`<open-size>\d+</open-size>`)
)

// Bomb is gzip of about a thousandth of size, which unpacks to that many bytes: head,
// and units behind it.
func Bomb(head, unit string, size int64) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, head); err != nil {
		return nil, err
	}
	units := strings.Repeat(unit, 1<<20/len(unit))
	for left := size - int64(len(head)); left > 0; left -= int64(len(units)) {
		if _, err := io.WriteString(w, units[:min(left, int64(len(units)))]); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

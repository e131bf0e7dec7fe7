package testrepo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
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
	base = strings.TrimSuffix(base, path.Ext(base)) + suffixOf(packed)
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

// suffixOf is what names of files in that format end in.
func suffixOf(packed []byte) string {
	switch {
	case bytes.HasPrefix(packed, []byte("\xfd7zXZ\x00")):
		return ".xz"
	case bytes.HasPrefix(packed, []byte("\x28\xb5\x2f\xfd")):
		return ".zst"
	}
	return ".gz"
}

// The parts of a record of repomd.xml, as Build writes it.
var (
	checksumOf = regexp.MustCompile(`(<checksum type="sha256">)[0-9a-f]+<`)
	hrefOf     = regexp.MustCompile(`href="([^"]*)"`)
	sizeOf     = regexp.MustCompile(`<size>\d+</size>`)
	openSizeOf = regexp.MustCompile(`<open-size>\d+</open-size>`)
)

// Bomb unpacks to size bytes, head and units behind it, and is about a thousandth of
// that: a stream for the head and one for each MiB, as all these formats allow.
func Bomb(c Compression, head, unit string, size int64) ([]byte, error) {
	b, _, err := pack([]byte(head), c)
	if err != nil {
		return nil, err
	}
	units := strings.Repeat(unit, 1<<20/len(unit))
	stream, _, err := pack([]byte(units), c)
	if err != nil {
		return nil, err
	}
	left := size - int64(len(head))
	for ; left >= int64(len(units)); left -= int64(len(units)) {
		b = append(b, stream...)
	}
	rest, _, err := pack([]byte(units[:max(left, 0)]), c)
	return append(b, rest...), err
}

// Greedy is xz or zstd of text in which it says that to unpack it takes a dictionary
// of that many bytes, a power of two: reserving it is all that it does.
func Greedy(c Compression, text string, dictionary int64) ([]byte, error) {
	log := bits.Len64(uint64(dictionary)) - 1
	b, _, err := pack([]byte(text), c)
	switch {
	case err != nil:
		return nil, err
	case c == XZ:
		// Behind the stream's header of 12 bytes comes the block's: its length in words, flags, and a
		// filter, LZMA2, with one byte of properties.
		block := b[12 : 12+4*(int(b[12])+1)]
		at := bytes.IndexByte(block, 0x21) + 2
		block[at] = byte(2 * (log - 12))
		binary.LittleEndian.PutUint32(block[len(block)-4:], crc32.ChecksumIEEE(block[:len(block)-4]))
		return b, nil
	case c == Zstd:
		// A frame with a window, and blocks that are not packed.
		b = []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3}
		for len(text) > 0 {
			part := text[:min(len(text), 100<<10)]
			text = text[len(part):]
			header := uint32(len(part)) << 3
			if text == "" {
				header |= 1 // the last
			}
			b = append(b, byte(header), byte(header>>8), byte(header>>16))
			b = append(b, part...)
		}
		return b, nil
	}
	return nil, fmt.Errorf("compression %q asks for no dictionary", c)
}

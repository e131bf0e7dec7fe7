package repodata

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// ErrNoRPM is returned for a file that is no RPM package, or one whose headers
// are damaged.
var ErrNoRPM = errors.New("no RPM package")

// What a package file may ask for. rpm itself refuses more entries; of the
// values only those that a check needs are ever read.
const (
	leadSize      = 96
	introSize     = 16 // of a header: magic, version, reserved, entries, bytes of data
	entrySize     = 16
	maxEntries    = 0xffff
	maxHeaderData = 256 << 20 // bytes
	maxSignature  = 128 << 10 // bytes, as it stands in the file; the largest kind in use has 50 KB
	maxSignatures = 16        // in one package
	maxSums       = 16        // of the payload
)

// Tags of the two headers.
const (
	tagDSAHeader  = 267  // a signature of the main header
	tagRSAHeader  = 268  // the same
	tagSHA1Header = 269  // a digest of the main header, hexadecimal
	tagSHA256     = 273  // the same
	tagOpenPGP    = 278  // signatures of the main header, base64
	tagPGP        = 1002 // a signature of main header and payload
	tagMD5        = 1004 // a digest of main header and payload
	tagGPG        = 1005 // a signature of main header and payload

	tagPayloadSum     = 5092 // a digest of the payload, hexadecimal; in the main header
	tagPayloadSumType = 5093 // OpenPGP's number of its algorithm
	tagPayloadSumAlt  = 5097 // the payload's digest where it is not compressed
)

// Types of an entry's value.
const (
	typeInt32       = 4
	typeString      = 6
	typeBinary      = 7
	typeStringArray = 8
)

// rpmFile is what a check needs to know of a package file: where its parts lie,
// and what stands in them about signatures and digests.
type rpmFile struct {
	header, payload *io.SectionReader // the main header from its magic number on; all behind it

	// OpenPGP packets: of the header alone, and of header and payload.
	headerSigs, wholeSigs [][]byte
	// What the signature header, which nobody signs, says that digests are; nil if nothing.
	headerSHA1, headerSHA256, wholeMD5 []byte
	// What the main header says: any of the digests will do.
	payloadSums    [][]byte
	payloadSumType uint32
}

// readRPM reads lead and headers of the package file r of size bytes. However
// large the headers say that they are, it takes no more memory than the limits
// above. The error wraps ErrNoRPM where the file is to blame.
func readRPM(r io.ReaderAt, size int64) (*rpmFile, error) {
	var lead [4]byte
	if size < leadSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrNoRPM, size)
	}
	if _, err := r.ReadAt(lead[:], 0); err != nil {
		return nil, fmt.Errorf("read the lead: %w", err)
	}
	if lead != [4]byte{0xed, 0xab, 0xee, 0xdb} {
		return nil, fmt.Errorf("%w: it begins with %x", ErrNoRPM, lead)
	}
	var f rpmFile
	end, err := readHeader(r, leadSize, size, f.signatureEntry)
	if err != nil {
		return nil, fmt.Errorf("signature header: %w", err)
	}
	start := (end + 7) &^ 7
	if end, err = readHeader(r, start, size, f.mainEntry); err != nil {
		return nil, fmt.Errorf("main header: %w", err)
	}
	f.header = io.NewSectionReader(r, start, end-start)
	f.payload = io.NewSectionReader(r, end, size-end)
	return &f, nil
}

// entry is one of a header's.
type entry struct {
	tag, typ uint32
	count    uint32
	data     *io.SectionReader // from the first byte of the value to the end of the header
}

// readHeader reads the header at off, gives each of its entries to each, and
// returns the offset behind it.
func readHeader(r io.ReaderAt, off, size int64, each func(entry) error) (int64, error) {
	var intro [introSize]byte
	if off+introSize > size {
		return 0, fmt.Errorf("%w: the file ends in it", ErrNoRPM)
	}
	if _, err := r.ReadAt(intro[:], off); err != nil {
		return 0, err
	}
	if !bytes.Equal(intro[:8], []byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}) {
		return 0, fmt.Errorf("%w: a header begins with %x", ErrNoRPM, intro[:8])
	}
	entries := int64(binary.BigEndian.Uint32(intro[8:]))
	length := int64(binary.BigEndian.Uint32(intro[12:]))
	if entries > maxEntries || length > maxHeaderData {
		return 0, fmt.Errorf("%w: a header of %d entries and %d bytes", ErrNoRPM, entries, length)
	}
	data := off + introSize + entries*entrySize
	end := data + length
	if end > size {
		return 0, fmt.Errorf("%w: the file ends in a header", ErrNoRPM)
	}
	index := bufio.NewReader(io.NewSectionReader(r, off+introSize, entries*entrySize))
	for range entries {
		var b [entrySize]byte
		if _, err := io.ReadFull(index, b[:]); err != nil {
			return 0, err
		}
		at := int64(binary.BigEndian.Uint32(b[8:]))
		if at > length {
			return 0, fmt.Errorf("%w: a value behind the end of its header", ErrNoRPM)
		}
		err := each(entry{
			tag: binary.BigEndian.Uint32(b[:]), typ: binary.BigEndian.Uint32(b[4:]), count: binary.BigEndian.Uint32(b[12:]),
			data: io.NewSectionReader(r, data+at, length-at),
		})
		if err != nil {
			return 0, err
		}
	}
	return end, nil
}

// signatureEntry keeps what the signature header says.
func (f *rpmFile) signatureEntry(e entry) (err error) {
	switch e.tag {
	case tagDSAHeader, tagRSAHeader:
		f.headerSigs, err = e.signature(f.headerSigs)
	case tagPGP, tagGPG:
		f.wholeSigs, err = e.signature(f.wholeSigs)
	case tagOpenPGP:
		var list [][]byte
		if list, err = e.strings(maxSignatures, maxSignature); err != nil {
			return err
		}
		for _, s := range list {
			sig, err := base64.StdEncoding.AppendDecode(nil, s)
			if err != nil {
				return fmt.Errorf("%w: a signature that is no base64", ErrNoRPM)
			}
			f.headerSigs = append(f.headerSigs, sig)
		}
	case tagSHA1Header:
		f.headerSHA1, err = e.sum()
	case tagSHA256:
		f.headerSHA256, err = e.sum()
	case tagMD5:
		f.wholeMD5, err = e.binary(64)
	}
	if len(f.headerSigs)+len(f.wholeSigs) > maxSignatures {
		return fmt.Errorf("%w: more than %d signatures", ErrNoRPM, maxSignatures)
	}
	return err
}

// mainEntry keeps what the main header says.
func (f *rpmFile) mainEntry(e entry) error {
	switch e.tag {
	case tagPayloadSum, tagPayloadSumAlt:
		list, err := e.strings(maxSums, maxSums*130)
		if err != nil {
			return err
		}
		for _, s := range list {
			sum, err := unhex(s)
			if err != nil {
				return err
			}
			f.payloadSums = append(f.payloadSums, sum)
		}
		// Entries may be many, and of one value.
		if len(f.payloadSums) > maxSums {
			return fmt.Errorf("%w: more than %d digests of its payload", ErrNoRPM, maxSums)
		}
	case tagPayloadSumType:
		b := make([]byte, 4)
		if e.typ != typeInt32 || e.count != 1 {
			return e.odd()
		}
		if _, err := io.ReadFull(e.data, b); err != nil {
			return e.odd()
		}
		f.payloadSumType = binary.BigEndian.Uint32(b)
	}
	return nil
}

// signature appends the entry's value, an OpenPGP packet, to list.
func (e entry) signature(list [][]byte) ([][]byte, error) {
	b, err := e.binary(maxSignature)
	return append(list, b), err
}

// binary is the bytes of a binary value, of at most most.
func (e entry) binary(most uint32) ([]byte, error) {
	if e.typ != typeBinary || e.count > most || int64(e.count) > e.data.Size() {
		return nil, e.odd()
	}
	b := make([]byte, e.count)
	_, err := io.ReadFull(e.data, b)
	return b, err
}

// sum is a digest that stands in the entry in hexadecimal.
func (e entry) sum() ([]byte, error) {
	list, err := e.strings(1, 130)
	if err != nil || len(list) != 1 {
		return nil, e.odd()
	}
	return unhex(list[0])
}

// strings are the strings of the entry's value: at most count of them, of at
// most most bytes together.
func (e entry) strings(count uint32, most int64) ([][]byte, error) {
	if e.typ != typeStringArray && (e.typ != typeString || e.count != 1) || e.count > count {
		return nil, e.odd()
	}
	r := bufio.NewReader(io.LimitReader(e.data, most))
	list := make([][]byte, 0, e.count)
	for range e.count {
		s, err := r.ReadBytes(0)
		if err != nil {
			return nil, e.odd()
		}
		list = append(list, s[:len(s)-1])
	}
	return list, nil
}

// unhex reads a digest.
func unhex(s []byte) ([]byte, error) {
	b, err := hex.AppendDecode(nil, s)
	if err != nil {
		return nil, fmt.Errorf("%w: a digest that is not hexadecimal", ErrNoRPM)
	}
	return b, nil
}

// odd is an entry that is not as such an entry has to be.
func (e entry) odd() error {
	return fmt.Errorf("%w: tag %d has type %d and %d values", ErrNoRPM, e.tag, e.typ, e.count)
}

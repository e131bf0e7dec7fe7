package repodata

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// jack is what the packed samples hold.
var jack = strings.Repeat("All work and no play makes Jack a dull boy.\n", 40)

// Nothing here writes xz or bzip2: these were made with `xz --lzma2=dict=4KiB` and `bzip2 -1`.
const (
	jackXZ = "/Td6WFoAAATm1rRGAgAhAQAAAAA3J5fW4AbfADpdACCbLEB3N5xr//KMOGKw+Qc1orsYc8VbKUPYeqlgg5dnHv8L1CaaguSmJEIjDV9Hw0nyOs" +
		"uZjxWgkgAAAAAfAwbtJREzkwABVuANAAAANSA8w7HEZ/sCAAAAAARZWg=="
	jackBzip2 = "QlpoMTFBWSZTWVw+ZR8AAO/VgAAQQAEgED4P2qAwALgKBpoZGTEKBpoZGTEClVMIyZDTTTAT6JsE3E0E6E3E4EyExE0E1CbCfBMBMxOwmgnAmA" +
		"nkT4JyJmJ3CcifhPomgmYnYTUToT8JiJwJ0JyJiJ4EyE/i7kinChILh8yj4A=="
)

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packed is jack in each format.
func packed(t testing.TB) map[string][]byte {
	t.Helper()
	var gz, zst bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := io.WriteString(z, jack); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	s, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, jack); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"gzip": gz.Bytes(), "zstd": zst.Bytes(), "xz": decode(t, jackXZ), "bzip2": decode(t, jackBzip2), "plain": []byte(jack)}
}

func unpack(r io.Reader, limit int64) (string, error) {
	d, err := Decompress(r, limit)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(d)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return string(b), err
}

func TestDecompress(t *testing.T) {
	size := int64(len(jack))
	for name, data := range packed(t) {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int64{size, size + 1, math.MaxInt64} {
				if got, err := unpack(bytes.NewReader(data), limit); got != jack || err != nil {
					t.Errorf("limit %d: got %d bytes, %v", limit, len(got), err)
				}
			}
			if got, err := unpack(iotest.OneByteReader(bytes.NewReader(data)), size); got != jack || err != nil {
				t.Errorf("in bytes: got %d bytes, %v", len(got), err)
			}
			for _, limit := range []int64{size - 1, 1, 0, -1} {
				got, err := unpack(bytes.NewReader(data), limit)
				if !errors.Is(err, ErrTooLarge) || int64(len(got)) != max(limit, 0) {
					t.Errorf("limit %d: got %d bytes, %v", limit, len(got), err)
				}
			}
			twice := append(bytes.Clone(data), data...)
			if got, err := unpack(bytes.NewReader(twice), 2*size); got != jack+jack || err != nil {
				t.Errorf("two streams: got %d bytes, %v", len(got), err)
			}
			stop := errors.New("stop")
			if _, err := unpack(io.MultiReader(bytes.NewReader(data[:len(data)/2]), iotest.ErrReader(stop)), size); !errors.Is(err, stop) {
				t.Errorf("error of the reader: %v", err)
			}
			if _, err := unpack(iotest.ErrReader(stop), size); !errors.Is(err, stop) {
				t.Errorf("error of the reader at once: %v", err)
			}
			d, err := Decompress(bytes.NewReader(data), size)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(d.Close(), d.Close()); err != nil {
				t.Errorf("closed twice: %v", err)
			}
			if n, err := d.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
				t.Errorf("closed, but reads %d bytes, %v", n, err)
			}
			if name == "plain" {
				return
			}
			for n := 6; n < len(data); n++ {
				got, err := unpack(bytes.NewReader(data[:n]), size)
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("cut to %d of %d bytes: got %d bytes, %v", n, len(data), len(got), err)
				}
			}
			if got, err := unpack(bytes.NewReader(append(bytes.Clone(data), "garbage"...)), size); err == nil {
				t.Errorf("garbage behind: got %d bytes", len(got))
			}
			for i := len(data) / 3; i < len(data); i++ {
				bad := bytes.Clone(data)
				bad[i] ^= 0x55
				if got, err := unpack(bytes.NewReader(bad), size); err == nil && got != jack {
					t.Errorf("byte %d changed: got wrong bytes without an error", i)
				}
			}
		})
	}
}

func TestDecompressOther(t *testing.T) {
	cases := map[string]struct {
		in, want string
		err      error
	}{
		"empty":            {in: ""},
		"short":            {in: "\x1f", want: "\x1f"},
		"plain":            {in: "<?xml", want: "<?xml"},
		"zchunk":           {in: "\x00ZCK1\x01\x02", err: ErrZchunk},
		"detached zchunk":  {in: "\x00ZHR1\x01\x02", err: ErrZchunk},
		"gzip magic alone": {in: "\x1f\x8b", err: io.ErrUnexpectedEOF},
		"zstd magic alone": {in: "\x28\xb5\x2f\xfd", err: io.ErrUnexpectedEOF},
	}
	for name, c := range cases {
		got, err := unpack(strings.NewReader(c.in), 100)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	zst := packed(t)["zstd"]
	if got, err := unpack(io.MultiReader(strings.NewReader("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"), bytes.NewReader(zst)), 1<<20); got != jack || err != nil {
		t.Errorf("skippable zstd frame: got %d bytes, %v", len(got), err)
	}
	padded := append(decode(t, jackXZ), 0, 0, 0, 0)
	if got, err := unpack(bytes.NewReader(append(padded, padded...)), 1<<20); got != jack+jack || err != nil {
		t.Errorf("padded xz: got %d bytes, %v", len(got), err)
	}
}

// TestDecompressWindow asks for more memory than is given.
func TestDecompressWindow(t *testing.T) {
	t.Run("xz", func(t *testing.T) {
		// The block header follows the 12 bytes of the stream's; its filter's only
		// property is the size of the dictionary.
		data := decode(t, jackXZ)
		block := data[12 : 12+4*(int(data[12])+1)]
		at := bytes.IndexByte(block, 0x21) + 2 // LZMA2, one byte of properties
		for prop, ok := range map[byte]bool{28: true, 30: true, 31: false, 40: false} {
			block[at] = prop
			binary.LittleEndian.PutUint32(block[len(block)-4:], crc32.ChecksumIEEE(block[:len(block)-4]))
			if _, err := unpack(bytes.NewReader(data), 1<<20); (err == nil) != ok || !ok && !errors.Is(err, ErrWindow) {
				t.Errorf("dictionary size %d: %v", prop, err)
			}
		}
	})
	t.Run("zstd", func(t *testing.T) {
		for log, ok := range map[int]bool{27: true, 28: false, 30: false} {
			// A frame with a window of 1<<log and one empty, last block.
			frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, byte(log-10) << 3, 0x01, 0x00, 0x00}
			if _, err := unpack(bytes.NewReader(frame), 1<<20); (err == nil) != ok || !ok && !errors.Is(err, ErrWindow) {
				t.Errorf("window 1<<%d: %v", log, err)
			}
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, data := range packed(f) {
		f.Add(data)
		f.Add(data[:len(data)-3])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		got, err := unpack(bytes.NewReader(data), limit)
		if len(got) > limit || errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

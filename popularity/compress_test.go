package popularity

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// gzip replaces a log by its compressed copy.
func (w *site) gzip(name string) { w.compress(name, ".gz") }

// compress replaces a log by its compressed copy, which has suffix.
func (w *site) compress(name, suffix string) {
	w.t.Helper()
	writeFile(w.t, w.dir+"/"+name+suffix, compressors[suffix](w.t, w.read(name)))
	w.remove(name)
}

// compressors are what logrotate may compress with.
var compressors = map[string]func(t testing.TB, content string) string{".gz": gzipped, ".xz": xzed, ".zst": zstded}

func xzed(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, &b, z, content)
}

func zstded(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, &b, z, content)
}

func written(t testing.TB, b *bytes.Buffer, z io.WriteCloser, content string) string {
	t.Helper()
	if _, err := io.WriteString(z, content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	return written(t, &b, gzip.NewWriter(&b), content)
}

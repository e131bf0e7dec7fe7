package cache

import (
	"fmt"
	"strings"
	"testing"
)

func TestNewDigest(t *testing.T) {
	for typ, hexes := range map[string]int{"sha": 40, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "SHA256": 64} {
		sum := strings.Repeat("Ab", hexes/2)
		d, err := NewDigest(typ, sum)
		if err != nil || d.Hex() != strings.ToLower(sum) {
			t.Errorf("%s: %q, %v", typ, d, err)
			continue
		}
		h := d.New()
		if h == nil || h.Size()*2 != hexes {
			t.Errorf("%s: a hash of another length", typ)
			continue
		}
		h.Write([]byte("x"))
		if same := sumOf(d.Type(), h); same.Type() != d.Type() || len(same) != len(d) {
			t.Errorf("%s: a sum is %q", typ, same)
		}
		for _, bad := range []string{"", sum[1:], sum + "00", "zz" + sum[2:]} {
			if d, err := NewDigest(typ, bad); err == nil || d != "" {
				t.Errorf("%s of %d digits: %q, %v", typ, len(bad), d, err)
			}
		}
	}
	for _, typ := range []string{"", "md5", "crc32", "sha3"} {
		if d, err := NewDigest(typ, strings.Repeat("0", 32)); err == nil || d != "" {
			t.Errorf("%q: %q, %v", typ, d, err)
		}
	}
	if d, _ := NewDigest("sha", strings.Repeat("0", 40)); d.Type() != "sha1" {
		t.Errorf("sha is %s", d.Type())
	}
	if Digest("").New() != nil || (Want{}).Known() {
		t.Error("no digest is one")
	}
}

func TestTag(t *testing.T) {
	f := Facts{SHA256: testDigest("sha256", 'a'), Size: 16, ETag: `"mirror's"`}
	if got, want := f.Tag(), `"`+strings.Repeat("a", 32)+`"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	f.SHA256 = ""
	if got, want := f.Tag(), fmt.Sprintf(`"10-%x"`, f.ModTime.Unix()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
